import numpy as np
import pytest
import torch

from stemkit.datasets import make_nucleation
from stemkit.denoise import GaussianDenoiser, LoGRenderDenoiser
from stemkit.metrics import atom_iou, psnr


@pytest.fixture(scope="module")
def nucleation():
    return make_nucleation(4, contrast="high", random_state=0)


def test_baselines_reach_their_scores_of_the_benchmark(nucleation):
    """The Gaussian has 8.27 dB; the rendered peaks have 24.1 dB and an IoU of 0.655."""
    X, y = nucleation.noisy, nucleation.target
    gaussian = GaussianDenoiser(sigma=2).fit(X).transform(X)
    assert abs(psnr(y, gaussian) - 8.27) < 0.6
    dots = LoGRenderDenoiser().fit(X).transform(X)
    assert psnr(y, dots) > 23
    assert atom_iou(y, dots) > 0.6
    model = LoGRenderDenoiser().fit(X)
    assert model.score(X, y) > model.score(X[::-1], y) + 5


def test_dots_are_at_the_positions_of_the_atoms():
    y, x = np.mgrid[:64, :64]
    positions = np.array([[20.3, 15.8], [40.0, 50.5], [10.25, 44.0]])
    frame = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * 1.5**2)) for a, b in positions)
    frame = 100 + 30 * frame + np.random.default_rng(0).normal(0, 0.1, frame.shape)
    dots = LoGRenderDenoiser(peak=100, dot_sigma=1).fit(frame[None]).transform(frame[None])[0]
    for a, b in positions:
        near = (abs(y - a) < 5) & (abs(x - b) < 5)
        weight = dots * near
        centre = (weight * y).sum() / weight.sum(), (weight * x).sum() / weight.sum()
        np.testing.assert_allclose(centre, (a, b), atol=0.05)
        assert weight.sum() == pytest.approx(100 * 2 * np.pi, rel=0.01)
    assert dots.sum() == pytest.approx(300 * 2 * np.pi, rel=0.01)


@pytest.mark.parametrize("frame", [np.zeros((1, 1)), np.full((9, 9), 7.0), np.eye(2)])
def test_frames_without_atoms(frame):
    dots = LoGRenderDenoiser().fit(frame[None]).transform(frame[None])
    assert np.isfinite(dots).all()
    if np.ptp(frame) == 0:
        assert not dots.any()


def test_pure_noise_gets_few_dots():
    noise = np.random.default_rng(0).normal(100, 5, (2, 256, 256))
    dots = LoGRenderDenoiser().fit(noise).transform(noise)
    assert (dots > 127.5).mean() < 2e-3


@pytest.mark.parametrize(
    "model, message",
    [
        (GaussianDenoiser(sigma=-1), r"sigma must be a finite number of px in \[0, 10000\]"),
        (GaussianDenoiser(sigma=1e30), "sigma must be a finite number of px in"),
        (LoGRenderDenoiser(sigma=0), r"sigma must be a finite number of px in \(0, 200\]"),
        (LoGRenderDenoiser(min_distance=0), r"min_distance must be an int of px in \[1, 1000\]"),
        (LoGRenderDenoiser(min_distance=1001), "min_distance must be an int of px in"),
    ],
)
def test_bad_parameters_are_named(model, message):
    with pytest.raises(ValueError, match=message):
        model.fit(np.zeros((2, 8, 8)))


def test_target_frames_may_be_any_tensor():
    X = np.random.default_rng(0).uniform(1, 99, (2, 8, 8)).astype("float32")
    model = GaussianDenoiser().fit(X)
    y = torch.from_numpy(X)
    expected = model.score(X, X)
    assert model.score(X, y.clone().requires_grad_()) == expected
    assert model.score(X, y.bfloat16()) == pytest.approx(expected, abs=0.2)
    for bad in (y.to("meta"), y.to_sparse(), [*X, np.ones((2, 3))]):
        with pytest.raises(ValueError, match=r"^y "):
            model.score(X, bad)


@pytest.mark.parametrize("scale", [1e-36, 1e35])
def test_target_frames_of_an_extreme_range_are_named(scale):
    X = np.random.default_rng(0).uniform(1, 99, (2, 8, 8)).astype("float32")
    with pytest.raises(ValueError, match=r"^y has a range of .*; rescale X and y"):
        GaussianDenoiser().fit(X).score(X, X * np.float32(scale))
