"""Strengths that differ from frame to frame."""

import numpy as np
import pytest
import torch

from stemkit.noise.functional import _composite, gaussian_noise, speckle_noise, static_noise

FRAMES = np.full((2, 100, 100), 50.0, dtype="float32")


def test_each_frame_has_its_strength():
    rng = np.random.default_rng(0)
    strengths = np.array([[[1.0]], [[4.0]]], dtype="float32")
    noisy = gaussian_noise(FRAMES, strengths, generator=rng)
    np.testing.assert_allclose(noisy.std(axis=(1, 2)), [1, 4], rtol=0.04)
    noisy = speckle_noise(FRAMES, strengths / 100, generator=rng)
    np.testing.assert_allclose(noisy.std(axis=(1, 2)) / 50, [0.1, 0.2], rtol=0.04)
    changed = static_noise(FRAMES, strengths / 10, generator=rng) != FRAMES
    np.testing.assert_allclose(changed.mean(axis=(1, 2)), [0.1, 0.4], atol=0.03)


@pytest.mark.parametrize(
    "values, message",
    [
        (np.array([[[0.5]], [[1.5]]]), r"^share must hold finite numbers in \[0, 1\]"),
        (np.array([[[0.5]], [[np.nan]]]), "^share must hold finite numbers"),
        (-0.1, "^share must hold finite numbers"),
        ("half", "^share must hold finite numbers"),
        (None, "^share must hold finite numbers"),
        (np.full((3, 1, 1), 0.5), r"^share has shape \(3, 1, 1\), which does not fit frames"),
        (torch.tensor(0.5), "^share and frames must both be arrays"),
        (torch.full((2, 1, 1), 0.5), "^share and frames must both be arrays"),
    ],
)
def test_wrong_strengths_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        static_noise(FRAMES, values)


@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("drawn", [0.0, 1 - 2**-24])
def test_no_draw_replaces_pixels_at_a_share_of_0_and_each_does_at_1(monkeypatch, drawn, kind):
    # Uniform numbers are drawn from [0, 1): zero, too, once in 17 million.
    frames = FRAMES if kind == "array" else torch.from_numpy(FRAMES)
    monkeypatch.setattr(_composite, "uniform", lambda frames, *_: 0 * frames + drawn)
    assert (static_noise(frames, 0.0, low=-9, high=-1) == frames).all()
    replaced = static_noise(frames, 1.0, low=-9, high=-1)
    assert (abs(replaced - (-9 + 8 * drawn)) < 1e-5).all()


def test_replaced_pixels_fill_the_range_evenly_at_any_share(monkeypatch):
    numbers = (np.arange(1000, dtype="f4") / 1000).reshape(1, 25, 40)
    monkeypatch.setattr(_composite, "uniform", lambda *_: numbers)
    for share in (0.1, 0.5, 0.9):
        noisy = static_noise(np.full((1, 25, 40), 1e3, "f4"), share, low=-2.0, high=6.0)
        replaced = np.sort(noisy[noisy < 999])
        n = round(1000 * share)
        assert len(replaced) == pytest.approx(n, abs=1)
        expected = -2 + 8 * np.arange(len(replaced)) / n
        np.testing.assert_allclose(replaced, expected, atol=1e-3)
