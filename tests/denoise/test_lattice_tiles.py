import warnings

import numpy as np
import pytest
import torch
from scipy import ndimage

from stemkit import PINNEDDenoiser
from stemkit.datasets import make_crystal_images
from stemkit.denoise._lattice_tiles import _SLOW, _statistics, has_lattice_prior, slow_variation
from stemkit.denoise._scaled import ScaledNetwork
from stemkit.denoise._sources import Scaling
from stemkit.networks import PINNED
from stemkit.networks.pinned import _histogram, roots_of_counts

pytestmark = pytest.mark.filterwarnings("ignore::stemkit.exceptions.LatticePriorWarning")


def particle(shape, center, radius):
    """Return a crystalline particle on vacuum, without and with noise."""
    y, x = np.indices(shape)
    body = 1 / (1 + np.exp((np.hypot(y - center[0], x - center[1]) - radius) / 8))
    waves = [np.cos(2 * np.pi * (a * y + b * x) / 17) for a, b in ((0.8, 0.6), (0.6, -0.8))]
    clean = 15000 + 2000 * body * (1 + 0.25 * waves[0] * waves[1])
    return clean, clean + np.random.default_rng(0).normal(0, 150, shape)


def largest_step(frame):
    """Return the largest mean step between rows or columns, in that of most of them."""
    steps = [np.abs(np.diff(frame, axis=axis)).mean(1 - axis)[20:-20] for axis in (0, 1)]
    return max(s.max() / np.median(s) for s in steps)


@pytest.fixture(scope="module")
def model():
    return PINNEDDenoiser(weights="default", device="cpu")


@pytest.mark.parametrize(
    "shape, center, radius",
    [((400, 400), (30, 20), 170), ((400, 330), (380, 320), 170), ((300, 560), (150, 520), 110)],
)
def test_a_bright_particle_shows_no_borders_of_tiles(model, shape, center, radius):
    clean, noisy = particle(shape, center, radius)
    denoised = model.transform(noisy[np.newaxis])[0].astype(float)
    assert largest_step(denoised) < 2.5 * largest_step(ndimage.gaussian_filter(noisy, 2))
    assert np.corrcoef(denoised.ravel(), clean.ravel())[0, 1] > 0.98


def test_frames_of_one_tile_are_what_the_network_makes_of_them():
    noisy = particle((40, 48), (10, 5), 20)[1][np.newaxis].astype("f4")
    model = PINNEDDenoiser(weights="default", normalize="training", device="cpu", tile_size=48)
    network = model._ready_network()
    inputs, targets = Scaling(*model.input_scaling_), Scaling(*model.target_scaling_)
    with torch.inference_mode():
        x = (torch.from_numpy(noisy[np.newaxis]) - inputs.offset) / inputs.scale
        expected = network.eval()(x) * targets.scale + targets.offset
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(model.transform(noisy), expected[0].numpy())


def test_a_large_perfect_crystal_is_the_same_in_tiles_and_in_one_piece(model):
    clean = make_crystal_images("SrTiO3", 1, shape=(300, 340), random_state=0).frames
    noisy = np.random.default_rng(0).poisson(clean / clean.max() * 20) / 20
    whole = PINNEDDenoiser(weights="default", device="cpu", tile_size=512).transform(noisy)
    tiled = model.transform(noisy)
    assert np.corrcoef(tiled.ravel(), whole.ravel())[0, 1] > 0.98
    assert np.abs(tiled - whole).mean() < 0.2 * whole.std()


def test_statistics_are_those_of_the_whole_frame():
    frame = np.random.default_rng(0).normal(20, 3, (1, 1300, 1000)).astype("f4")
    network = ScaledNetwork(PINNED(n_channels=1, n_evidence=1), Scaling(18, 2), Scaling(0, 1))
    mean, counts = _statistics(network, frame)
    scaled = (torch.from_numpy(frame) - 18) / 2
    assert mean == pytest.approx(float(scaled.mean(dtype=torch.float64)), rel=1e-6)
    torch.testing.assert_close(roots_of_counts(counts, frame.size), _histogram(scaled[None]))


def test_slow_variation_holds_slopes_but_no_lattice():
    y, x = np.indices((300, 300), dtype="f4")
    lattice = np.cos(2 * np.pi * x / 30)
    slow = slow_variation(np.stack([7 + lattice, y]))
    assert np.abs(slow[0, 100:200, 100:200] - slow[0].mean()).max() < 1e-4
    inside = slice(int(4 * _SLOW) + 1, -int(4 * _SLOW) - 1)
    np.testing.assert_allclose(slow[1, inside, 150], y[inside, 150] - 149.5, atol=1e-2)
    np.testing.assert_allclose(slow.mean((1, 2)), 0, atol=1e-3)


def test_only_pinned_with_evidence_has_a_lattice_prior():
    assert has_lattice_prior(PINNED(n_channels=1, n_evidence=1))
    assert not has_lattice_prior(PINNED(n_channels=1))
    assert not has_lattice_prior(torch.nn.Conv2d(1, 1, 1))
