import warnings

import numpy as np
import pytest
from scipy import ndimage
from skimage.feature import peak_local_max
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from stemkit.datasets import make_nucleation
from stemkit.denoise import GaussianDenoiser, MatchedDenoiser, PINNEDDenoiser, SCGNDenoiser
from stemkit.exceptions import LatticePriorWarning, OutOfDomainWarning
from stemkit.metrics import atom_score

OFFSET, NOISE = 98.446, 4.901  # of the shipped weights


@pytest.fixture(scope="module")
def nuclei():
    return make_nucleation(2, (64, 64), contrast="high", random_state=0)


def like_another_microscope(frames, *, factor=3, gain=40.0, slope=30.0, seed=0):
    """Enlarge atoms, change the counts, and add a background that increases to one side.

    Binned frames have the noise of the original ones.
    """
    large = frames.repeat(factor, axis=1).repeat(factor, axis=2)
    rng = np.random.default_rng(seed)
    fine = rng.normal(0, 20, large.shape)
    fine -= ndimage.uniform_filter(fine, (1, factor, factor))  # nearly 0 when binned
    return gain * (large + fine) + slope * np.arange(large.shape[2]) + 5000


def peaks(dots, *, distance=1):
    return peak_local_max(dots, min_distance=distance, threshold_abs=128, exclude_border=False)


def f1(truth, dots, factor):
    places = (peaks(dots, distance=factor) + 0.5) / factor - 0.5
    return atom_score(truth[["y", "x"]], places, tolerance=1).f1


def test_atoms_are_found_in_frames_of_another_scale(nuclei):
    """Matching finds as many as on the training's scale, and so do the default weights."""
    frames = like_another_microscope(nuclei.noisy)
    matched = MatchedDenoiser().fit(frames)
    assert matched.binning_ == 3
    dots = matched.transform(frames)
    unmatched = SCGNDenoiser(weights="default", normalize="training")
    with pytest.warns(OutOfDomainWarning, match=r"background .*noise .*standard deviation of"):
        unscaled = unmatched.transform(frames[:1])
    scaled = SCGNDenoiser(weights="default").transform(frames)
    original = SCGNDenoiser(weights="default").transform(nuclei.noisy)
    for i in range(2):
        truth = nuclei.positions[nuclei.positions["frame"] == i]
        assert f1(truth, dots[i], 3) > f1(truth, original[i], 1) - 0.03 > 0.9
        # It subtracts slow changes less well.
        assert f1(truth, scaled[i], 3) > f1(truth, original[i], 1) - 0.1
        if i == 0:
            assert f1(truth, unscaled[i], 3) < 0.5


def test_dark_atoms_are_bright_ones_of_the_negative(nuclei):
    frames = like_another_microscope(nuclei.noisy)
    dark = MatchedDenoiser(atom_sigma=4.5, atoms="dark").fit_transform(-frames)
    bright = MatchedDenoiser(atom_sigma=4.5).fit_transform(frames)
    np.testing.assert_allclose(dark, bright, atol=1e-3)


def test_unit_and_offset_do_not_matter(nuclei):
    model = MatchedDenoiser(atom_sigma=1.5).fit(nuclei.noisy)
    plain = model.match(nuclei.noisy)
    np.testing.assert_allclose(model.match(3e4 * nuclei.noisy + 1e6), plain, atol=0.05)
    np.testing.assert_allclose(model.match(1e-30 * nuclei.noisy), plain, atol=0.05)


def test_noise_is_scaled_to_that_of_the_training_and_vacuum_stays_empty():
    rng = np.random.default_rng(0)
    vacuum = 20_000 + rng.normal(0, 300, (2, 256, 256)) * np.array([1, 5]).reshape(2, 1, 1)
    model = MatchedDenoiser(atom_sigma=3.0).fit(vacuum)
    matched = model.match(vacuum)
    assert matched.shape == (2, 128, 128)
    np.testing.assert_allclose(matched.mean((1, 2)), OFFSET, atol=0.05)
    np.testing.assert_allclose(matched.std((1, 2)), NOISE, rtol=0.05)
    assert not len(peaks(model.transform(vacuum[:, :128, :128]).reshape(-1, 128)))


def test_slow_changes_are_subtracted_and_atoms_are_kept(nuclei):
    frames = nuclei.noisy
    x = np.arange(64)
    slow = 400 * np.exp(-((x - 20) ** 2) / (2 * 40**2))
    model = MatchedDenoiser(atom_sigma=1.5).fit(frames)
    off = model.match(frames + slow) - model.match(frames)
    assert np.abs(off[:, 8:-8, 8:-8]).max() < 0.05 * 400
    detail, kept = (
        v - ndimage.gaussian_filter(v, 3, axes=(1, 2)) for v in (frames, model.match(frames))
    )
    assert np.corrcoef(detail.ravel(), kept.ravel())[0, 1] > 0.99


def test_binned_pixels_are_means():
    X = np.random.default_rng(0).normal(size=(1, 7, 10))
    model = MatchedDenoiser(atom_sigma=3.0, background_sigma=1e-3).fit(X)
    # Such a narrow background filter subtracts the whole frame.
    np.testing.assert_allclose(model.match(X), OFFSET, atol=1e-3)
    model = MatchedDenoiser(atom_sigma=3.0, background_sigma=1e3).fit(X)
    matched = model.match(X)[0]
    assert matched.shape == (4, 5)
    means = X[0, :6].reshape(3, 2, 5, 2).mean((1, 3))
    assert np.corrcoef(matched[:3].ravel(), means.ravel())[0, 1] == pytest.approx(1)


@pytest.mark.parametrize("sigma, binning", [(0.7, 1), (1.5, 1), (2.9, 2), (4.4, 3), (15.0, 10)])
def test_frames_are_binned_until_atoms_have_the_size_of_the_training(sigma, binning):
    X = np.random.default_rng(0).normal(size=(1, 23, 31))
    model = MatchedDenoiser(atom_sigma=sigma).fit(X)
    assert model.binning_ == binning
    assert model.match(X).shape == (1, -(-23 // binning), -(-31 // binning))
    assert model.transform(X).shape == X.shape


def test_atoms_are_measured_if_their_size_is_not_given(nuclei):
    frames = like_another_microscope(nuclei.noisy, factor=2)
    assert MatchedDenoiser().fit(frames).atom_sigma_ == pytest.approx(3.1, abs=0.6)
    assert MatchedDenoiser(atoms="dark").fit(-frames).binning_ == 2


@pytest.mark.parametrize("value", [0, 7, 1e6])
def test_constant_frames_are_the_background(value):
    X = np.full((2, 24, 24), value)
    model = MatchedDenoiser(atom_sigma=3.0).fit(X)
    np.testing.assert_allclose(model.match(X), OFFSET, atol=1e-3)
    assert np.isfinite(model.transform(X)).all()


def test_a_custom_denoiser(nuclei):
    own = SCGNDenoiser(n_blocks=1, n_channels=4, max_epochs=1, random_state=0)
    own.fit(nuclei.noisy, nuclei.target)
    model = MatchedDenoiser(denoiser=own, atom_sigma=1.5).fit(nuclei.noisy)
    assert model.denoiser_ is own
    expected = own.transform(model.match(nuclei.noisy))
    np.testing.assert_allclose(model.transform(nuclei.noisy), expected, atol=1e-3)
    with pytest.raises(ValueError, match="Fit it first"):
        clone(model).fit(nuclei.noisy)
    kept = MatchedDenoiser(denoiser=FrozenEstimator(own), atom_sigma=1.5)
    again = clone(kept).fit(nuclei.noisy)
    np.testing.assert_array_equal(again.transform(nuclei.noisy), model.transform(nuclei.noisy))


def test_weights_record_the_noise_of_their_training_frames(nuclei, tmp_path):
    own = SCGNDenoiser(n_blocks=1, n_channels=4, max_epochs=1, random_state=0)
    own.fit(nuclei.noisy, nuclei.target)
    assert own.input_noise_ == pytest.approx((nuclei.noisy - nuclei.clean).std(), rel=0.15)
    own.save_weights(tmp_path / "own.safetensors")
    again = SCGNDenoiser(weights=tmp_path / "own.safetensors")
    again.transform(nuclei.noisy)
    assert again.input_noise_ == own.input_noise_


def test_the_given_denoiser_is_not_changed(nuclei):
    given = SCGNDenoiser(weights="default")
    MatchedDenoiser(denoiser=given, atom_sigma=1.5).fit_transform(nuclei.noisy)
    assert not hasattr(given, "module_")


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"atom_sigma": 0}, "atom_sigma must be None or a finite number of px in"),
        ({"known_sigma": None}, "known_sigma must be a finite number of px in"),
        (
            {"background_sigma": -1},
            "background_sigma must be None or a finite number of px in",
        ),
        ({"atoms": "grey"}, "atoms must be one of"),
        ({"denoiser": SCGNDenoiser()}, "fitted or have weights"),
        ({"denoiser": GaussianDenoiser()}, "no record of how noisy|fitted or have weights"),
    ],
)
def test_bad_parameters_are_named(parameters, message, nuclei):
    with pytest.raises(ValueError, match=message):
        MatchedDenoiser(**parameters).fit(nuclei.noisy)


def test_a_released_checkpoint_has_no_record_of_its_noise(shared_fixtures):
    model = SCGNDenoiser.from_checkpoint(shared_fixtures / "scgn_released_layout.pth")
    with pytest.raises(ValueError, match="how noisy"):
        MatchedDenoiser(denoiser=model).fit(np.zeros((1, 16, 16)))


@pytest.mark.filterwarnings("always")
def test_a_lattice_prior_is_warned_of_once_a_call():
    frames = np.random.default_rng(0).normal(100, 10, (5, 16, 16))
    prior = PINNEDDenoiser(
        n_evidence=1, n_blocks=1, n_channels=4, max_epochs=1, device="cpu", random_state=0
    )
    with pytest.warns(LatticePriorWarning):
        prior.fit(frames, frames)
    model = MatchedDenoiser(denoiser=FrozenEstimator(prior), atom_sigma=1.5).fit(frames)
    for _ in range(2):
        with warnings.catch_warnings(record=True) as caught:
            model.transform(frames)
        assert [warning.category for warning in caught] == [LatticePriorWarning]
        assert caught[0].filename == __file__
