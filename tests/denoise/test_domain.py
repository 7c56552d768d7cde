"""Tests of frames unlike those that the shipped weights were trained on."""

import warnings

import numpy as np
import pytest
from scipy import ndimage

from stemkit import MatchedDenoiser, PINNEDDenoiser, SCGNDenoiser
from stemkit.datasets import make_crystal_images, make_nucleation
from stemkit.exceptions import (
    ExposureChangeWarning,
    LatticePriorWarning,
    OutOfDomainWarning,
)
from stemkit.metrics import psnr
from stemkit.noise import CompositeDegradationNoise

UNITS = [(1e-9, 0.0), (1 / 255, 0.0), (40.0, 5000.0), (1.0, 1800.0), (1e6, -1e6)]


@pytest.fixture(scope="module")
def nuclei():
    return make_nucleation(2, shape=(96, 96), random_state=0)


@pytest.fixture(scope="module")
def scgn():
    return SCGNDenoiser(weights="default", device="cpu")


@pytest.mark.parametrize("gain, offset", UNITS)
def test_dots_do_not_depend_on_the_unit(scgn, nuclei, gain, offset):
    expected = scgn.transform(nuclei.noisy)
    dots = scgn.transform(gain * nuclei.noisy.astype(float) + offset)
    np.testing.assert_allclose(dots, expected, atol=1e-4 * expected.max())


@pytest.mark.filterwarnings("ignore::stemkit.exceptions.LatticePriorWarning")
@pytest.mark.parametrize("gain, offset", UNITS)
def test_denoised_intensities_are_in_the_unit_of_the_frames(gain, offset):
    clean = make_crystal_images("SrTiO3", 2, shape=(64, 64), random_state=0).frames
    noisy = CompositeDegradationNoise(random_state=0).fit_transform(clean)
    denoiser = PINNEDDenoiser(weights="default", device="cpu")
    expected = denoiser.transform(noisy)
    found = denoiser.transform(gain * noisy.astype(float) + offset)
    np.testing.assert_allclose((found - offset) / gain, expected, atol=1e-4 * np.ptp(expected))


@pytest.mark.parametrize("contrast", ["default", "high", "low"])
def test_scaling_costs_no_accuracy_on_frames_like_those_of_the_training(contrast):
    data = make_nucleation(4, shape=(128, 128), contrast=contrast, random_state=3)
    as_they_are = SCGNDenoiser(weights="default", normalize="training").transform(data.noisy)
    scaled = SCGNDenoiser(weights="default").transform(data.noisy)
    errors = [np.mean((dots - data.target) ** 2) for dots in (scaled, as_they_are)]
    assert errors[0] < 1.05 * errors[1]


def test_frames_like_those_of_the_training_give_no_warning(scgn):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for contrast in ("default", "high", "low"):
            frames = make_nucleation(4, (96, 96), contrast=contrast, random_state=0).noisy
            scgn.transform(frames)
            SCGNDenoiser(weights="default", normalize="training").transform(frames)


def test_slow_changes_of_brightness_cost_little(scgn):
    data = make_nucleation(2, (192, 192), contrast="high", random_state=0)
    illumination = np.linspace(1, 4, 192)
    expected = psnr(data.target, scgn.transform(data.noisy))
    assert psnr(data.target, scgn.transform(illumination * data.noisy)) > expected - 2.5
    assert psnr(data.target, scgn.transform(data.noisy + 100 * illumination)) > expected - 2.5


def test_vacuum_with_white_noise_stays_empty(scgn):
    vacuum = np.random.default_rng(0).poisson(100, (2, 128, 128))
    assert scgn.transform(vacuum).max() < 100


def blurred(rng):
    return 100 + 25 * ndimage.gaussian_filter(rng.normal(0, 1, (128, 128)), 0.7)


def interpolated(rng):
    return ndimage.zoom(rng.poisson(100, (64, 64)).astype(float), 2, order=1)


@pytest.mark.parametrize("make", [blurred, interpolated])
@pytest.mark.parametrize("scale", [1, 1e4])
def test_noise_that_neighbours_share_is_named(scgn, make, scale):
    frame = scale * make(np.random.default_rng(0))[np.newaxis]
    for denoiser in (scgn, MatchedDenoiser(atom_sigma=1.5).fit(frame)):
        with pytest.warns(OutOfDomainWarning, match="Frame 0 .*neighbouring pixels share noise"):
            denoiser.transform(frame)


def test_dark_atoms_are_named(scgn, nuclei):
    with pytest.warns(OutOfDomainWarning, match=r"atoms look dark .*pass -X"):
        scgn.transform(500 - nuclei.noisy)


def test_small_atoms_are_named(scgn):
    """Atoms of a third of the size, which binning can't bring to that of the training."""
    rng = np.random.default_rng(0)
    frame = 100 + np.zeros((128, 128))
    y, x = rng.integers(0, 128, (2, 800))
    np.add.at(frame, (y, x), 400.0)
    frame = rng.poisson(ndimage.gaussian_filter(frame, 0.5))[np.newaxis]
    with pytest.warns(OutOfDomainWarning, match="unlike the frames"):
        scgn.transform(frame)


def test_the_warning_comes_once_for_a_stack(scgn):
    frames = np.stack([blurred(np.random.default_rng(seed)) for seed in range(3)])
    for denoiser in (scgn, MatchedDenoiser(atom_sigma=1.5).fit(frames)):
        with pytest.warns(OutOfDomainWarning) as record:
            denoiser.transform(frames)
        assert len(record) == 1


def test_the_paper_s_scale_is_checked():
    clean = make_crystal_images("SrTiO3", 1, shape=(64, 64), random_state=0).frames
    noisy = CompositeDegradationNoise(random_state=0).fit_transform(clean)
    denoiser = PINNEDDenoiser(weights="default", normalize="training")
    with warnings.catch_warnings():
        warnings.simplefilter("error", OutOfDomainWarning)
        warnings.simplefilter("ignore", LatticePriorWarning)
        denoiser.transform(noisy)
        with pytest.raises(OutOfDomainWarning, match=r"background is .*so rescale it or set norm"):
            denoiser.transform(257 * noisy)


def test_training_from_weights_of_another_scale_is_named(nuclei):
    settings = {"weights": "default", "max_epochs": 1, "device": "cpu", "random_state": 0}
    with pytest.warns(OutOfDomainWarning, match="the training starts from a network that does not"):
        SCGNDenoiser(**settings).fit(1e-4 * nuclei.noisy, nuclei.target)
    tuned = SCGNDenoiser(**settings).fit(nuclei.noisy, nuclei.target)
    # Its frames are those of the new training now, and are not scaled.
    plain = SCGNDenoiser(**settings, normalize="training").fit(nuclei.noisy, nuclei.target)
    np.testing.assert_array_equal(tuned.transform(nuclei.noisy), plain.transform(nuclei.noisy))


def test_weights_without_a_noise_level_can_not_scale_frames(nuclei):
    model = SCGNDenoiser(n_blocks=1, n_channels=4, max_epochs=1, random_state=0, normalize="frame")
    model.fit(nuclei.noisy, nuclei.target)
    assert np.isfinite(model.transform(1e4 * nuclei.noisy)).all()
    model.input_noise_ = None
    with pytest.raises(ValueError, match=r"needs the noise level .*normalize='training'"):
        model.transform(nuclei.noisy)


def test_weights_without_a_domain_are_not_checked(nuclei):
    """Such as those of a checkpoint, whose noise level is unknown."""
    model = SCGNDenoiser(n_blocks=1, n_channels=4, max_epochs=1, random_state=0)
    model.fit(nuclei.noisy, nuclei.target)
    del model.domain_
    with pytest.warns(ExposureChangeWarning, match="1e\\+04 times the noise"):
        assert np.isfinite(model.transform(1e4 * nuclei.noisy)).all()
    model.set_params(normalize="frame").input_noise_ = None
    with pytest.raises(ValueError, match=r"needs the noise level .*normalize='training'"):
        model.transform(nuclei.noisy)
