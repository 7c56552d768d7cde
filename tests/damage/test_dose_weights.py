import numpy as np
import pytest
from scipy import ndimage

from stemkit.damage._dose_weights import N_BANDS, dose_weights
from stemkit.registration import Motion

from ..registration.drifting_series import record, walk

SHAPE = (96, 90)
FREQUENCY = np.arange(N_BANDS) / (2 * (N_BANDS - 1))


def fading(n_frames, rate_of, *, noise, seed=0):
    """Return frames whose Fourier transform fades at a rate that depends on the frequency."""
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 0.8)
    image /= image.std()
    frequency = np.hypot(np.fft.fftfreq(SHAPE[0])[:, None], np.fft.fftfreq(SHAPE[1]))
    spectrum = np.fft.fft2(image)
    frames = [
        np.fft.ifft2(spectrum * np.exp(-rate_of(frequency) * i)).real for i in range(n_frames)
    ]
    return (5 + np.array(frames) + rng.normal(0, noise, (n_frames, *SHAPE))).astype("f4")


@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_the_rate_of_each_band_is_found(noise):
    def rate(frequency):
        return 0.02 + 0.6 * np.minimum(frequency, 0.5)

    frames = fading(10, rate, noise=noise)
    found = dose_weights(frames, [Motion(SHAPE)] * 10, 3.0 * np.arange(10) + 7)
    assert found.shape == (10, N_BANDS)
    expected = np.exp(-np.outer(np.arange(10), rate(FREQUENCY)))
    np.testing.assert_allclose(found[:, 1:6], expected[:, 1:6], atol=0.08 if noise < 1 else 0.2)
    assert (found[:, 0] == 1).all()
    assert (found[0] == 1).all()
    assert (np.diff(found[:, 3]) < 0).all()


def test_without_damage_all_frames_count():
    frames = fading(6, lambda frequency: 0 * frequency, noise=0.5)
    found = dose_weights(frames, [Motion(SHAPE)] * 6, np.arange(6.0))
    assert found.min() > 0.85


def test_bands_without_structure_fade_as_those_below():
    motions = walk(6, SHAPE)
    series = record(motions, 30, sigma=3, decay=np.exp(-np.arange(6) / 4))
    found = dose_weights(series.frames, motions, np.arange(6.0))
    np.testing.assert_allclose(found[:, 1], np.exp(-np.arange(6) / 4), atol=0.08)
    np.testing.assert_allclose(found[:, -1], found[:, 3], atol=0.3)


def test_the_unit_of_dose_and_intensity_does_not_matter():
    frames = fading(5, lambda frequency: frequency, noise=0.3)
    motions = [Motion(SHAPE)] * 5
    dose = np.array([0.0, 1, 2, 5, 7])
    expected = dose_weights(frames, motions, dose)
    np.testing.assert_allclose(dose_weights(1e4 * frames, motions, 50 + 1e3 * dose), expected, 1e-3)
