import numpy as np
import pytest
from scipy import ndimage

from stemkit._fourier_rings import correlate_rings
from stemkit.exceptions import OutOfViewWarning, ResolutionWarning
from stemkit.registration import Motion, align_stack, average

from .drifting_series import record, walk

SHAPE = (80, 90)


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def standardized(result, truth):
    return ((result.mean - truth) / result.stderr).compressed()


@pytest.mark.parametrize(
    "n_frames, dose, motion",
    [
        (2, 2, {}),
        (2, 100, {"rotation": 0.05}),
        (3, 10, {"step": (0.5, 0.5)}),
        (6, 1, {"step": (3, -2)}),
        (7, 30, {"rotation": 0.02, "shear": 0.01}),
        (15, 300, {}),
    ],
)
def test_the_error_is_as_large_as_it_says(n_frames, dose, motion):
    series = record(walk(n_frames, SHAPE, **motion), dose)
    result = average(series.frames, series.motions)
    truth = dose * series.truth
    assert 0.9 < rms(standardized(result, truth)) < 1.2
    for bright in (False, True):
        part = (truth > np.quantile(truth, 0.8)) if bright else (truth < np.quantile(truth, 0.5))
        found = np.ma.masked_array(result.mean - truth, ~part) / result.stderr
        assert 0.85 < rms(found.compressed()) < 1.25
    # The places that few frames show are less certain.
    few = result.coverage < n_frames
    assert rms((np.ma.masked_array(result.mean - truth, ~few) / result.stderr).compressed()) > 0.85


def test_wrong_motions_raise_the_error():
    series = record(walk(8, SHAPE), 300)
    rng = np.random.default_rng(0)
    moved = [Motion(SHAPE, motion.drift + rng.normal(0, 0.4, 2)) for motion in series.motions]
    moved[0] = series.motions[0]
    right, wrong = (average(series.frames, motions) for motions in (series.motions, moved))
    edges = ndimage.gaussian_gradient_magnitude(series.truth, 1)
    steep = edges > np.quantile(edges, 0.9)
    blurred = ndimage.gaussian_filter(300 * series.truth, 0.4)
    assert 0.8 < rms(((wrong.mean - blurred) / wrong.stderr)[steep].compressed()) < 1.25
    assert wrong.stderr[steep].mean() > 1.4 * right.stderr[steep].mean()


def test_a_pixel_is_averaged_over_the_frames_that_show_it():
    motions = walk(4, SHAPE, step=(9, -7))
    series = record(motions, 20)
    result = average(series.frames, motions)
    aligned = align_stack(series.frames, motions)
    np.testing.assert_array_equal(result.coverage, aligned.mask.sum(axis=0))
    expected = np.where(aligned.mask, aligned, 0).sum(axis=0) / result.coverage
    np.testing.assert_allclose(result.mean, expected, rtol=1e-5)
    np.testing.assert_allclose(result.n_effective, result.coverage, rtol=1e-6)
    assert result.coverage.max() == 4
    assert result.coverage.min() == 1


def test_the_union_holds_every_frame_and_common_what_all_show():
    motions = walk(5, SHAPE, step=(-6, 11))
    series = record(motions, 50)
    union = average(series.frames, motions, canvas="union")
    # What lies at p in the first frame lies at p + drift in the others.
    assert union.origin == (0, -44)
    assert union.mean.shape == (80 + 24, 90 + 44)
    assert union.coverage.sum() == 5 * 80 * 90
    np.testing.assert_array_equal(union.mean.mask, union.coverage == 0)
    assert (union.mean.data[union.mean.mask] == 0).all()
    first = average(series.frames, motions)
    np.testing.assert_allclose(union.mean[:80, 44:].filled(0), first.mean.filled(0), rtol=1e-5)
    common = average(series.frames, motions, canvas="common")
    assert common.origin == (24, 0)
    assert common.mean.shape == (80 - 24, 90 - 44)
    assert (common.coverage == 5).all()
    assert not common.mean.mask.any()
    np.testing.assert_allclose(common.mean, first.mean[24:, :46], rtol=1e-5)


def test_what_rotated_frames_have_in_common_has_no_gaps():
    motions = walk(4, SHAPE, rotation=0.1)
    result = average(record(motions, 50).frames, motions, canvas="common")
    assert (result.coverage == 4).all()
    assert result.mean.size > 0.4 * 80 * 90


def test_pixels_of_weight_zero_are_no_data():
    motions = walk(3, SHAPE, step=(4, 5))
    series = record(motions, 30)
    weights = np.ones(series.frames.shape)
    weights[:, 20:30, 40:60] = 0
    spoilt = np.where(weights == 0, 1e6, series.frames).astype("f4")
    result = average(spoilt, motions, weights=weights)
    # Splines have tails beyond the neighbours that linear interpolation takes.
    kept = average(series.frames, motions, weights=weights)
    inside = ndimage.binary_dilation((result.coverage < kept.coverage.max()), iterations=8)
    np.testing.assert_allclose(result.mean[~inside], kept.mean[~inside], rtol=0.05)
    # What lies at p in the first frame is in the next ones at p + (4, 5) and p + (8, 10).
    assert result.coverage[0, 0] == 3
    assert result.coverage[21, 45] == 0
    assert result.coverage[29, 59] == 2
    assert result.coverage[16, 35] == 1


def test_a_pixel_without_data_in_any_frame_is_masked():
    motions = [Motion(SHAPE)] * 3
    weights = np.ones((3, *SHAPE))
    weights[:, 7, 9] = 0
    result = average(record(motions, 30).frames, motions, weights=weights)
    assert np.argwhere(result.mean.mask).tolist() == [[7, 9]]
    assert np.isfinite(result.mean.data).all()
    assert np.isfinite(result.stderr.data).all()


def test_frames_of_more_noise_get_less_weight_and_the_error_follows():
    motions = walk(9, SHAPE)
    doses = np.array([40, 4, 4, 40, 4, 4, 40, 4, 4])
    series = record(motions, doses)
    frames = series.frames / doses[:, None, None]
    equal = average(frames, motions)
    best = average(frames, motions, weights=doses)
    for result in (equal, best):
        assert 0.85 < rms(standardized(result, series.truth)) < 1.2
    assert rms(best.mean - series.truth) < 0.75 * rms(equal.mean - series.truth)
    assert best.n_effective.max() == pytest.approx(doses.sum() ** 2 / (doses**2).sum())


def test_equal_weights_of_all_bands_change_nothing():
    motions = walk(4, SHAPE)
    frames = record(motions, 30).frames
    plain = average(frames, motions)
    banded = average(frames, motions, band_weights=np.full((4, 5), 0.7))
    np.testing.assert_allclose(banded.mean, plain.mean, rtol=1e-4)
    np.testing.assert_allclose(banded.n_effective, plain.n_effective, rtol=0.02)
    np.testing.assert_allclose(banded.stderr, plain.stderr, rtol=0.05)
    assert banded.resolution == pytest.approx(plain.resolution, rel=0.02)


def test_weights_by_frequency_follow_what_is_left_of_it():
    motions = walk(8, SHAPE)
    sharp = record(motions, 200, sigma=1.3)
    rng = np.random.default_rng(2)
    clean = [sharp.truth] * 8
    # Fine structure is lost from frame to frame, as under the beam.
    clean = [ndimage.gaussian_filter(sharp.truth, 0.35 * i) for i in range(8)]
    frames = rng.normal(clean, 0.3).astype("f4")
    still = [Motion(SHAPE)] * 8
    frequency = np.arange(9) / 16
    left = np.exp(-2 * (np.pi * frequency * 0.35 * np.arange(8)[:, None]) ** 2)
    plain = average(frames, still)
    weighted = average(frames, still, band_weights=left)
    assert rms(weighted.mean - sharp.truth) < rms(plain.mean - sharp.truth)
    like = [
        correlate_rings(result.mean.data, sharp.truth).correlation[12:20].mean()
        for result in (plain, weighted)
    ]
    assert like[1] > like[0] + 0.05
    # The noise stays white, and as it was.
    with pytest.warns(ResolutionWarning, match="limited by its pixels"):
        truth = average(np.array(clean, "f4"), still, band_weights=left).mean
    noise = weighted.mean - truth
    assert rms(noise) == pytest.approx(0.3 / np.sqrt(8), rel=0.05)
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.05
    assert 0.9 < rms((noise / weighted.stderr).compressed()) < 1.1


@pytest.mark.parametrize("scale, offset", [(1e-9, 0), (1e6, 0), (1, -1e3)])
def test_the_unit_does_not_matter(scale, offset):
    motions = walk(4, SHAPE)
    frames = record(motions, 50).frames
    one = average(frames, motions)
    other = average(scale * frames + offset, motions)
    np.testing.assert_allclose(other.mean, scale * one.mean + offset, rtol=2e-5)
    np.testing.assert_allclose(other.stderr, scale * one.stderr, rtol=2e-3)
    assert other.resolution == pytest.approx(one.resolution, rel=1e-3)


def test_one_frame_has_no_error_and_no_resolution():
    frame = record([Motion(SHAPE)], 50).frames
    with pytest.warns(UserWarning, match="no resolution: it needs at least two frames"):
        result = average(frame, [Motion(SHAPE)], pixel_size=0.1)
    np.testing.assert_array_equal(result.mean, frame[0])
    assert result.stderr.mask.all()
    assert (result.coverage == 1).all()
    assert result.frc.empty
    assert result.resolution == np.inf == result.resolution_nm


class OneByOne:
    """Frames that are read one at a time, as from a file."""

    def __init__(self, frames):
        self._frames, self.shape, self.read = frames, frames.shape, []

    def __getitem__(self, index):
        self.read.append(index)
        return self._frames[index]


def test_frames_are_read_one_by_one():
    motions = walk(5, SHAPE)
    lazy = OneByOne(record(motions, 30).frames)
    average(lazy, motions)
    assert lazy.read == [0, 1, 2, 3, 4]


def test_the_pixel_size_gives_the_resolution_in_nm():
    motions = walk(6, SHAPE)
    frames = record(motions, 50).frames
    result = average(frames, motions, pixel_size=0.02)
    assert result.resolution_nm == pytest.approx(0.02 * result.resolution)
    np.testing.assert_allclose(result.frc.frequency_per_nm, result.frc.frequency / 0.02)
    assert average(frames, motions).resolution_nm is None


def test_frames_that_left_the_view_are_named():
    motions = walk(4, SHAPE, step=(40, 0))
    series = record(motions, 50)
    with pytest.warns(OutOfViewWarning, match=r'Frames \[2, 3\] show nothing .* canvas="union"'):
        result = average(series.frames, motions)
    assert result.coverage.max() == 2
    assert average(series.frames, motions, canvas="union").coverage.sum() == 4 * 80 * 90


def test_a_canvas_that_does_not_fit_into_memory_is_refused():
    motions = [Motion((8, 8)), Motion((8, 8), (1e7, -1e7))]
    with pytest.raises(MemoryError, match=r'canvas="union" has 10000008 x 10000008 px'):
        average(np.ones((2, 8, 8)), motions, canvas="union")
    motions = [Motion((8, 8)), Motion((8, 8), (1e300, 0))]
    with pytest.raises(MemoryError, match=r'canvas="union" has 1e\+300 x 8 px'):
        average(np.ones((2, 8, 8)), motions, canvas="union")
    with pytest.raises(ValueError, match=r'canvas="common" is empty'):
        average(np.ones((2, 8, 8)), motions, canvas="common")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"motions": [Motion((8, 8))]}, "frames holds 2 frames and motions 1 motions"),
        ({"motions": [Motion((8, 9))] * 2}, r"frames have shape \(8, 8\), but motions"),
        ({"frames": np.ones((8, 8))}, r"frames is one frame of shape \(8, 8\)"),
        ({"frames": np.full((2, 8, 8), np.nan)}, r"frames\[0\] contains NaN"),
        ({"canvas": "all"}, "canvas must be"),
        ({"weights": [1, -1]}, "weights must be finite numbers of at least 0"),
        ({"weights": [0, 0]}, "not all 0"),
        ({"weights": [1, 2, 3]}, r"weights has shape \(3,\)"),
        ({"band_weights": [1, 2]}, r"band_weights has shape \(2,\)"),
        ({"band_weights": [[1, 0], [1, 0]]}, "not all 0 in any band"),
        ({"pixel_size": -1}, "pixel_size must be"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"frames": np.ones((2, 8, 8)), "motions": [Motion((8, 8))] * 2} | change
    frames, motions = arguments.pop("frames"), arguments.pop("motions")
    with pytest.raises(ValueError, match=message):
        average(frames, motions, **arguments)
