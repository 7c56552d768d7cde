import numpy as np
import pytest
import torch
from scipy import ndimage
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from stemkit import PINNEDDenoiser
from stemkit.datasets import make_crystal_images
from stemkit.exceptions import LatticePriorWarning
from stemkit.losses import physics_informed
from stemkit.metrics import psnr, ssim
from stemkit.networks import PINNED
from stemkit.noise import CompositeDegradationNoise, GaussianNoise

TINY = {"n_channels": 4, "n_blocks": 2, "max_epochs": 2, "device": "cpu", "random_state": 0}


@pytest.fixture(scope="module")
def clean():
    return make_crystal_images(
        "GaN", 6, shape=(32, 40), rotation=None, background=0.3, random_state=0
    ).frames


@pytest.fixture(scope="module")
def noisy(clean):
    return CompositeDegradationNoise(level=1, random_state=0).fit_transform(clean)


@pytest.fixture(scope="module")
def model(clean, noisy):
    return PINNEDDenoiser(**TINY).fit(noisy, clean)


def test_network_is_made_with_the_parameters(model):
    assert isinstance(model.module_, PINNED)
    other = PINNEDDenoiser(**TINY).set_params(n_blocks=1, slope=0.2)
    other.fit(np.ones((1, 8, 8)), np.ones((1, 8, 8)))
    assert other.network_parameters_ == {
        "n_channels": 4,
        "n_blocks": 1,
        "slope": 0.2,
        "n_evidence": 0,
    }


def test_loss_is_taken_on_intensities_from_0_to_1(clean, noisy, model):
    assert model.target_scaling_ == (clean.min(), np.ptp(clean))
    # One batch is the whole set, so that the first row is the loss of the untrained network.
    options = {**TINY, "max_epochs": 1, "batch_size": 6, "flip": False, "lambda_tv": 0.3}
    fitted = PINNEDDenoiser(**options).fit(noisy, clean)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        untrained = PINNED(n_channels=4, n_blocks=2)
    offset, scale = fitted.input_scaling_
    with torch.inference_mode():
        output = untrained(torch.from_numpy((noisy - offset) / scale).float()[:, None])
    target = torch.from_numpy((clean - clean.min()) / np.ptp(clean))[:, None]
    expected = physics_informed(output, target, tv=0.3)
    row = fitted.history_.iloc[0]
    assert row.train_loss == pytest.approx(expected["loss"].item(), rel=1e-4)
    for name in ("mse", "tv", "sf", "b", "c"):
        assert row[f"train_{name}"] == pytest.approx(expected[name].item(), rel=1e-4)


def test_weights_switch_terms_off(clean, noisy):
    plain = PINNEDDenoiser(**TINY, lambda_tv=0, lambda_sf=0, lambda_b=0, lambda_c=0)
    history = plain.fit(noisy, clean).history_
    assert not {"train_tv", "train_sf", "train_b", "train_c"} & set(history)
    assert history.train_mse.tolist() == pytest.approx(history.train_loss.tolist())
    some = PINNEDDenoiser(**TINY, lambda_sf=0).fit(noisy, clean).history_
    assert {"train_tv", "train_b", "train_c"} <= set(some)
    assert "train_sf" not in some


def test_total_variation_is_a_mean_or_the_papers_sum(clean, noisy):
    mean, total = (
        PINNEDDenoiser(**TINY, tv_reduction=reduction).fit(noisy, clean).history_.train_tv.iloc[0]
        for reduction in ("mean", "sum")
    )
    assert 100 * mean < total


def test_it_learns_crystals_better_than_a_constant():
    clean = make_crystal_images("Al", 12, shape=(32, 32), random_state=0).frames
    noise = GaussianNoise(sigma=40.0, random_state=0)
    model = PINNEDDenoiser(
        n_channels=8,
        n_blocks=1,
        max_epochs=60,
        batch_size=6,
        lr=5e-3,
        noise=noise,
        device="cpu",
        random_state=0,
    ).fit(clean[:10])
    noisy = noise.fit_transform(clean[10:])
    error = ((model.transform(noisy) - clean[10:]) ** 2).mean()
    assert error < 0.5 * clean[10:].var()
    assert error < 0.5 * ((noisy - clean[10:]) ** 2).mean()


def test_noise_is_fresh_in_every_batch(clean):
    # Each step draws new noise, so the loss of the same weights differs between epochs.
    options = {**TINY, "lr": 1e-12, "batch_size": 6, "flip": False}
    noise = CompositeDegradationNoise(level=[1, 5])
    history = PINNEDDenoiser(**options, noise=noise).fit(clean).history_
    assert history.train_mse.iloc[0] != history.train_mse.iloc[1]
    fixed = PINNEDDenoiser(**options).fit(noise.fit_transform(clean), clean).history_
    assert fixed.train_mse.iloc[0] == pytest.approx(fixed.train_mse.iloc[1], rel=1e-5)


def test_normalize_frame_takes_and_returns_any_scale(model, noisy):
    own = PINNEDDenoiser(**TINY, normalize="frame")
    own.__setstate__({**model.__getstate__(), "normalize": "frame"})
    gain, offset = np.array([0.02, 1.0, 30.0]), np.array([5.0, 0.0, -900.0])
    scaled = noisy[:3] * gain[:, None, None] + offset[:, None, None]
    expected = own.transform(noisy[:3]) * gain[:, None, None] + offset[:, None, None]
    np.testing.assert_allclose(own.transform(scaled), expected, rtol=1e-3, atol=0.5)
    # A frame with the mean and standard deviation of the training frames is not rescaled.
    in_offset, in_scale = model.input_scaling_
    typical = (noisy[:1] - noisy[0].mean()) / noisy[0].std() * in_scale + in_offset
    np.testing.assert_allclose(own.transform(typical), model.transform(typical), atol=1e-2)
    # For flat frames there is no division by zero.
    assert np.isfinite(own.transform(np.full((1, 16, 16), 7.0))).all()


def test_frames_smaller_than_the_stride_and_whole_numbers(model):
    for shape in ((1, 1), (2, 3), (7, 41)):
        frames = np.random.default_rng(0).integers(0, 255, (2, *shape), dtype=np.uint8)
        denoised = model.transform(frames)
        assert denoised.shape == frames.shape
        assert denoised.dtype == np.float32
        np.testing.assert_array_equal(model.transform(frames.astype("float64")), denoised)


def test_search_over_a_pipeline_sets_the_weights_of_the_loss(clean):
    pipeline = make_pipeline(CompositeDegradationNoise(random_state=0), PINNEDDenoiser(**TINY))
    search = GridSearchCV(pipeline, {"pinneddenoiser__lambda_sf": [0, 0.1]}, cv=2)
    search.fit(clean, clean)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_shipped_weights_denoise_better_than_a_gaussian():
    """A material, zone axis and seed outside the training; 60 % of the pixels are replaced."""
    clean = make_crystal_images("Al", 2, zone_axis=(1, 1, 0), rotation=31.0, random_state=5).frames
    noisy = CompositeDegradationNoise(level=2, random_state=5).fit_transform(clean)
    shipped = PINNEDDenoiser(weights="default", device="cpu")
    with pytest.warns(LatticePriorWarning):
        denoised = shipped.transform(noisy)
    smooth = (ndimage.gaussian_filter(noisy, 2, axes=(1, 2)) - 127.5 * 0.6) / 0.4
    assert psnr(clean, denoised) > psnr(clean, smooth) + 3
    assert ssim(clean, denoised) > 0.6
    # From noise without a lattice the network makes no structure.
    vacuum = CompositeDegradationNoise(level=2, random_state=6).fit_transform(0 * clean[:1])
    with pytest.warns(LatticePriorWarning):
        assert shipped.transform(vacuum).std() < 15


def test_shipped_weights_determine_the_network():
    shipped = PINNEDDenoiser(weights="default", n_evidence=1)
    with pytest.raises(ValueError, match=r"n_evidence=1 is not that of weights='pinned_cdn'"):
        shipped.transform(np.zeros((1, 8, 8)))
    by_name = PINNEDDenoiser(weights="pinned-cdn", device="cpu")
    frame = np.random.default_rng(0).uniform(0, 255, (1, 20, 30))
    default = PINNEDDenoiser(weights="default", device="cpu")
    with pytest.warns(LatticePriorWarning, match=r"defects may be missing.*n_evidence=0"):
        np.testing.assert_array_equal(by_name.transform(frame), default.transform(frame))


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"lambda_tv": -1}, "lambda_tv must be a finite number of at least 0"),
        ({"lambda_c": np.inf}, "lambda_c must be a finite number"),
        ({"tv_reduction": "none"}, "tv_reduction must be one of"),
        ({"normalize": True}, "normalize must be one of"),
        ({"n_blocks": 0}, "n_blocks must be an int of at least 1"),
    ],
)
def test_bad_parameters_are_named(bad, message, clean, noisy):
    with pytest.raises(ValueError, match=message):
        PINNEDDenoiser(**{**TINY, **bad}).fit(noisy, clean)
