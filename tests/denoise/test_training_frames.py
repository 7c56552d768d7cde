"""Tests of training on blank frames, and on frames of another gain or with gradients."""

import warnings

import numpy as np
import pytest
from scipy import ndimage

from stemkit.datasets import (
    make_damage_sequence,
    make_drift_pairs,
    make_llzo_series,
    make_nucleation,
    make_nucleation_sequence,
    make_stem_lattice,
)
from stemkit.denoise import BlindSpotDenoiser, NetworkDenoiser, UDVDDenoiser
from stemkit.denoise._training_frames import denoise_at, prepare
from stemkit.exceptions import ExposureChangeWarning, OutOfDomainWarning

TINY = {"network_parameters": {"n_channels": 4}, "max_epochs": 1, "random_state": 0}
RAMP = np.linspace(1, 4, 96, dtype=np.float32)


@pytest.fixture(scope="module")
def nuclei():
    return make_nucleation(4, shape=(96, 96), random_state=0)


def step(frames, gain=4.0, offset=0.0):
    changed = frames.copy()
    changed[-1] = gain * changed[-1] + offset
    return changed


@pytest.mark.parametrize("gain", [0.1, 0.25, 3.0, 4.0, 100.0])
def test_frame_of_another_gain_is_brought_to_the_others(nuclei, gain):
    with pytest.warns(ExposureChangeWarning, match="Frame 3 of X"):
        frames, targets, _ = prepare(step(nuclei.noisy, gain), None, None, "Network")
    assert frames is targets
    np.testing.assert_array_equal(frames[:-1], nuclei.noisy[:-1])
    sigma = (nuclei.noisy - nuclei.clean).std()
    assert np.abs(frames[-1] - nuclei.noisy[-1]).mean() < 2 * sigma
    assert frames[-1].std() == pytest.approx(float(nuclei.noisy[-1].std()), rel=0.15)


def test_frame_at_another_level_is_brought_to_the_others(nuclei):
    with pytest.warns(ExposureChangeWarning):
        frames, *_ = prepare(step(nuclei.noisy, 1, 500), None, None, "Network")
    assert abs(np.median(frames[-1]) - np.median(nuclei.noisy)) < nuclei.noisy.std()


def test_gradients_are_removed(nuclei):
    with pytest.warns(ExposureChangeWarning, match="gradient"):
        frames, *_ = prepare(nuclei.noisy * RAMP, None, None, "Network")
    left, right = frames[..., :32], frames[..., -32:]
    assert np.median(right) == pytest.approx(float(np.median(left)), abs=0.5 * float(frames.std()))
    assert right.std() == pytest.approx(float(left.std()), rel=0.35)


@pytest.mark.parametrize("change", [step, lambda frames: frames * RAMP])
def test_results_are_in_the_unit_of_their_frame(nuclei, change):
    spoilt = change(nuclei.noisy)
    with pytest.warns(ExposureChangeWarning):
        _, _, common = prepare(spoilt, None, None, "Network")
    with pytest.warns(ExposureChangeWarning):
        found = denoise_at(common, lambda frames: frames, spoilt)
    np.testing.assert_allclose(found, spoilt, rtol=1e-4, atol=1e-4 * spoilt.max())


@pytest.mark.parametrize("change", [step, lambda frames: frames * RAMP])
@pytest.mark.parametrize(
    "kind, follows", [("target", False), ("clean", False), ("clean", True), ("noisy", True)]
)
def test_targets_are_scaled_if_they_have_the_gain_of_their_frames(nuclei, change, kind, follows):
    targets = change(nuclei[kind]) if follows else nuclei[kind]
    with pytest.warns(ExposureChangeWarning):
        _, scaled, common = prepare(change(nuclei.noisy), targets, None, "Network")
    assert common.of_targets == follows
    assert (scaled is targets) == (not follows)


def test_blank_frames_are_left_out(nuclei):
    spoilt = nuclei.noisy.copy()
    spoilt[1] = 0
    with pytest.warns(ExposureChangeWarning, match="Frame 1 of X"):
        frames, targets, _ = prepare(spoilt, nuclei.target, None, "Network")
    np.testing.assert_array_equal(frames, nuclei.noisy[[0, 2, 3]])
    np.testing.assert_array_equal(targets, nuclei.target[[0, 2, 3]])


def test_empty_frame_with_an_empty_target_is_an_example(nuclei):
    noisy, target = nuclei.noisy.copy(), nuclei.target.copy()
    noisy[1], target[1] = 100, 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frames, _, _ = prepare(noisy, target, None, "Network")
    assert len(frames) == 4


def test_blank_frames_stay_blank(nuclei):
    spoilt = nuclei.noisy.copy()
    spoilt[0] = 0
    for denoiser in (BlindSpotDenoiser(**TINY), UDVDDenoiser(n_channels=4, max_epochs=1)):
        with pytest.warns(ExposureChangeWarning):
            denoised = denoiser.fit(spoilt).transform(spoilt)
        np.testing.assert_array_equal(denoised[0], 0)
        assert denoised[1].std() > 0


@pytest.mark.parametrize("sigma", [0.5, 0.7, 1.0])
def test_noise_that_neighbours_share_is_named(nuclei, sigma):
    noise = np.random.default_rng(0).normal(size=(4, 96, 96))
    noise = ndimage.gaussian_filter(noise, (0, sigma, sigma))
    frames = nuclei.clean + 0.1 * np.ptp(nuclei.clean) * noise / noise.std()
    denoisers = (
        BlindSpotDenoiser(**TINY),
        NetworkDenoiser(**TINY),
        UDVDDenoiser(n_channels=4, max_epochs=1),
    )
    for denoiser in denoisers:
        with pytest.warns(OutOfDomainWarning, match="share noise"):
            denoiser.fit(frames[:2], nuclei.target[:2])


def test_weights_keep_the_level(nuclei, tmp_path):
    model = BlindSpotDenoiser(**TINY).fit(nuclei.noisy)
    model.save_weights(tmp_path / "mine.safetensors")
    again = BlindSpotDenoiser(weights=tmp_path / "mine.safetensors")
    spoilt = step(nuclei.noisy)
    with pytest.warns(ExposureChangeWarning):
        expected = model.transform(spoilt)
    with pytest.warns(ExposureChangeWarning):
        np.testing.assert_array_equal(again.transform(spoilt), expected)


def test_failed_fit_changes_nothing(nuclei):
    model = NetworkDenoiser(**TINY).fit(nuclei.noisy, nuclei.target)
    expected = model.transform(nuclei.noisy)
    with pytest.raises(ValueError, match="network could not be made"):
        model.set_params(network_parameters={"unknown": 1}).fit(100 * nuclei.noisy, nuclei.target)
    np.testing.assert_array_equal(model.transform(nuclei.noisy), expected)


GENERATED = {
    **{
        f"nuclei {contrast}": lambda contrast=contrast: make_nucleation(
            6, shape=(96, 96), contrast=contrast, random_state=1
        )["noisy"]
        for contrast in ("default", "high", "low")
    },
    **{
        f"damage {dose}": lambda dose=dose: (
            make_damage_sequence(n_frames=4, shape=(96, 96), dose=dose, random_state=1).frames
        )
        for dose in (2, 20, 500, None)
    },
    **{
        f"lattice {style}": lambda style=style: (
            make_stem_lattice(20, shape=(96, 96), style=style, random_state=0).noisy
        )
        for style in ("temimagenet", "sfin")
    },
    "nucleation": lambda: make_nucleation_sequence(5, shape=(96, 96), random_state=0).noisy,
    "pairs": lambda: make_drift_pairs(3, shape=(96, 96), random_state=0).pairs.reshape(-1, 96, 96),
    "llzo": lambda: make_llzo_series(shape=(96, 96), random_state=0).frames,
}


@pytest.mark.parametrize("name", GENERATED)
def test_generated_frames_raise_no_warning(name):
    frames = GENERATED[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, _, common = prepare(frames, None, None, "Network")
        assert denoise_at(common, lambda values: values, frames) is frames
    assert found is frames
