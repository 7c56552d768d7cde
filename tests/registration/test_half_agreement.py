import numpy as np
import pytest
from scipy import ndimage

from stemkit.exceptions import ResolutionWarning
from stemkit.registration import average
from stemkit.registration._half_agreement import correlate_halves

from .drifting_series import record, walk

SHAPE = (128, 120)
EVERYWHERE = np.ones(SHAPE, dtype=bool)


def white(seed, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape)


def compare(one, other, shown=EVERYWHERE, pixel_size=None):
    return correlate_halves((one, other), shown, pixel_size, n_frames=2)


@pytest.mark.parametrize("period", [4.0, 8.0])
def test_the_resolution_is_where_the_signal_falls_to_a_sixth_of_the_noise(period):
    # Correlations of halves are S / (S + N), which is 1/7 where S is N / 6.
    sigma = period / (2 * np.pi) * np.sqrt(np.log(6 * 50))
    signal = np.sqrt(50) * ndimage.gaussian_filter(white(0), sigma, mode="wrap")
    frc, resolution = compare(signal + white(1), signal + white(2))
    assert resolution == pytest.approx(period, rel=0.12)
    power = 50 * np.exp(-((2 * np.pi * frc.frequency * sigma) ** 2))
    off = (frc.correlation - power / (power + 1))[frc.n_pixels > 100]
    assert abs(off.mean()) < 0.03
    assert off.std() < 0.1


def test_noise_has_no_resolution():
    for seed in range(20):
        with pytest.warns(ResolutionWarning, match="agree at no frequency"):
            frc, resolution = compare(white(seed), white(100 + seed))
        assert resolution == np.inf
    assert abs(frc.correlation.mean()) < 0.05


def test_shared_borders_are_no_agreement():
    shown = np.zeros(SHAPE, dtype=bool)
    shown[20:100, 10:90] = True
    shown[60:, 60:] = False
    one, other = (np.where(shown, 100 + white(seed), 0) for seed in (0, 1))
    with pytest.warns(ResolutionWarning, match="agree at no frequency"):
        frc, _ = compare(one, other, shown)
    assert abs(frc.correlation[3:].mean()) < 0.05


def test_a_crystal_is_resolved_beyond_the_gaps_between_its_reflections():
    y, x = np.indices(SHAPE)
    lattice = np.cos(2 * np.pi * y / 6.4) + np.cos(2 * np.pi * x / 6.4)
    frc, resolution = compare(lattice + white(0), lattice + white(1))
    # The field is 19 periods wide, and its taper widens the reflections to a few rings.
    assert 5.2 < resolution < 6.5
    assert frc.correlation[:8].mean() < 0.3


def test_halves_that_always_agree_are_limited_by_their_pixels():
    with pytest.warns(ResolutionWarning, match=r"limited by its pixels, to 2\S* px"):
        _, resolution = compare(white(0), white(0))
    assert resolution == pytest.approx(2, rel=0.02)


def test_a_field_too_small_has_no_rings():
    shown = np.zeros(SHAPE, dtype=bool)
    shown[:12] = True
    with pytest.warns(ResolutionWarning, match="no common field of at least 16 x 16 px"):
        frc, resolution = compare(white(0), white(0), shown, 0.1)
    assert frc.empty
    assert "frequency_per_nm" in frc
    assert resolution == np.inf


def test_rings_of_oblong_pixels_are_circles_in_nm():
    # Structure of one width in nm, on pixels twice as high as wide.
    signal = 10 * ndimage.gaussian_filter(white(0, (128, 256)), (2, 4), mode="wrap")
    halves = [signal + white(seed, (128, 256)) for seed in (1, 2)]
    frc, resolution = correlate_halves(
        (halves[0], halves[1]), np.ones((128, 256), bool), (0.2, 0.1), n_frames=2
    )
    sigma_nm = 0.4
    crossing = np.sqrt(np.log(6 * 100 / 2)) / (2 * np.pi * sigma_nm)
    nm = resolution * np.sqrt(0.2 * 0.1)
    assert 1 / nm == pytest.approx(crossing, rel=0.2)
    assert frc.frequency_per_nm.max() == pytest.approx(2.5, rel=0.03)


def test_more_counts_and_more_frames_resolve_more():
    found = []
    for n_frames, dose in ((4, 3), (4, 30), (16, 30)):
        series = record(walk(n_frames, (96, 96)), dose, sigma=1.5)
        found.append(average(series.frames, series.motions).resolution)
    assert found[0] > found[1] > found[2]
