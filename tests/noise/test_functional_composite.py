"""Strengths that differ from frame to frame."""

import numpy as np
import pytest
import torch

from stemkit.noise.functional import gaussian_noise, speckle_noise, static_noise

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
