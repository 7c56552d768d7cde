import numpy as np
import pytest
from scipy import ndimage

from stemkit._scene import render_columns
from stemkit.damage._aligned_pair import AlignedPair, Background
from stemkit.damage._background_level import background_of_pair
from stemkit.damage._decay_estimates import N_ESTIMATES, decay_estimates, refine_decay
from stemkit.datasets import make_scene
from stemkit.degradation import damage_pattern, decay_map, degrade, record

SHAPE = (128, 144)
# Each kind of estimate from the widest window to the narrowest: signal above the background,
# structure, power; then the joined estimate and its error.
ABOVE, STRUCTURE, POWER, JOINED, ERROR = slice(0, 6), slice(6, 9), slice(9, 11), 11, 12
INSIDE = (slice(30, -30), slice(30, -30))


def estimate(first, second, overlap=None):
    pair = AlignedPair.from_frames(first, second, overlap)
    return decay_estimates(pair, pair.above(background_of_pair(pair)))


def refine(first, second, decay, overlap=None):
    pair = AlignedPair.from_frames(first, second, overlap)
    return refine_decay(pair.above(background_of_pair(pair)), decay)


def scene(seed=0, spacing=(9, 14)):
    return make_scene(SHAPE, content="perfect", spacing=spacing, random_state=seed)


def lattice(seed=0, **arguments):
    return render_columns(scene(seed), SHAPE, **arguments)


def faded(frame, decay):
    return (frame * decay).astype("float32")


def even(y, x):
    return np.ones(np.broadcast_shapes(np.shape(y), np.shape(x)))


@pytest.mark.parametrize("decay", [1.0, 0.7, 0.3, 0.05])
@pytest.mark.parametrize("seed", range(4))
def test_even_damage_without_noise_is_estimated_exactly(seed, decay):
    first = lattice(seed)
    estimates = estimate(first, faded(first, decay))
    assert estimates.shape == (N_ESTIMATES + 1, *SHAPE)
    assert estimates.dtype == np.float32
    np.testing.assert_allclose(estimates[:ERROR], decay, atol=2e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 1000.7])
def test_identical_frames_are_undamaged(value):
    constant = np.full((40, 50), value, dtype="float32")
    np.testing.assert_array_equal(estimate(constant, constant)[:ERROR], 1)
    first = lattice() + np.float32(value)
    np.testing.assert_allclose(estimate(first, first)[:ERROR], 1, atol=2e-3)


def test_a_signal_that_is_gone_has_a_decay_of_0():
    estimates = estimate(lattice(), np.zeros(SHAPE, "float32"))
    np.testing.assert_allclose(estimates[:ERROR], 0, atol=1e-4)


@pytest.mark.parametrize("gain", [1e-9, 1e-3, 1e6])
def test_gain_does_not_matter(gain):
    first = lattice()
    second = faded(first, decay_map(damage_pattern("gaussian", SHAPE), 0.8, SHAPE))
    expected = estimate(first, second)
    scaled = estimate(*(np.float32(gain) * frame for frame in (first, second)))
    np.testing.assert_allclose(scaled, expected, atol=1e-3)


@pytest.mark.parametrize("kept", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("background", [0.0, 0.4])
def test_film_and_amorphised_matter_do_not_count_as_signal(background, kept):
    hole = damage_pattern("gaussian", SHAPE, cell=30)
    first = lattice(2) + np.float32(background)
    second, truth = degrade(scene(2), SHAPE, damage=hole, strength=0.9, amorphous=kept)
    estimates = estimate(first, second + np.float32(background))
    errors = np.abs(estimates - truth)[(slice(None), *INSIDE)].mean(axis=(1, 2))
    assert (errors[2:5] < 0.04).all()
    assert errors[JOINED] < 0.04
    # A ratio of means includes the background.
    means = [ndimage.gaussian_filter(frame, 6) for frame in (first, second + background)]
    naive = np.abs((means[1] / means[0]) - truth)[INSIDE].mean()
    if background or kept:
        assert naive > 3 * errors[JOINED]


def test_narrow_windows_resolve_the_damage():
    first = lattice(2)
    truth = decay_map(damage_pattern("gaussian", SHAPE, cell=30), 0.9, SHAPE)
    estimates = estimate(first, faded(first, truth))
    errors = np.abs(estimates - truth).mean(axis=(1, 2))
    # Wide windows blur; without noise the narrow ones are exact, and the joined estimate uses them.
    assert (np.diff(errors[:3]) < 0).all()
    assert errors[JOINED] < 0.005
    assert errors[0] > 5 * errors[5]


@pytest.mark.parametrize("jitter", [0.0, 2.0])
@pytest.mark.parametrize("dose", [5.0, 50.0])
@pytest.mark.parametrize("decay", [0.7, 0.3])
def test_neither_noise_nor_jitter_biases(dose, decay, jitter):
    rng = np.random.default_rng(7)
    estimates = []
    for _ in range(8):
        pair = [
            record(
                faded(lattice(1, row_shift=rng.normal(0, jitter, SHAPE[0])), left),
                dose=dose,
                background=0.2,
                random_state=rng,
            )
            for left in (1.0, decay)
        ]
        estimates.append(estimate(*pair))
    estimates = np.mean(estimates, axis=(0, 2, 3))
    # Wide windows alone: narrow ones are clipped to 0 and 1, which biases their mean.
    for index in (1, 2, 6, 7):
        assert estimates[index] == pytest.approx(decay, abs=0.04)
    if dose > 10:
        assert estimates[POWER][0] == pytest.approx(decay, abs=0.03)


def test_narrow_windows_are_noisier_and_the_standard_error_is_that_of_the_noise():
    first = lattice(1)
    maps = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        pair = [
            record(f, dose=10, background=0.1, random_state=rng) for f in (first, faded(first, 0.5))
        ]
        maps.append(estimate(*pair))
    variance = np.var(maps, axis=0, ddof=1)[(slice(None), *INSIDE)]
    spread = np.sqrt(variance.mean(axis=(1, 2)))
    assert (np.diff(spread[ABOVE][:5]) > 0).all()
    assert (np.diff(spread[STRUCTURE]) > 0).all()
    stderr = 10 ** (3 * np.mean(maps, axis=0)[ERROR][INSIDE] - 3)
    # The spread, known to 4 % from 20 pairs, is not larger than the standard error.
    assert spread[2] < stderr.mean() < 1.12 * spread[2]


def test_joined_estimate_is_as_good_as_the_best_window():
    first = lattice(1)
    truth = decay_map(damage_pattern("perlin", SHAPE, cell=50, random_state=1), 0.8, SHAPE)
    rng = np.random.default_rng(0)
    pair = [record(f, dose=10, random_state=rng) for f in (first, faded(first, truth))]
    errors = np.abs(estimate(*pair) - truth).mean(axis=(1, 2))
    assert errors[JOINED] < 1.2 * errors[ABOVE].min()
    assert errors[JOINED] < 0.2 * errors[5]


def test_estimates_stay_between_0_and_1():
    rng = np.random.default_rng(0)
    noise = rng.poisson(0.2, (2, 40, 50)).astype("float32")
    for first, second in (noise, noise[::-1], (noise[0], -noise[1]), (lattice(), 5 * lattice())):
        estimates = estimate(first, second)
        assert np.isfinite(estimates).all()
        assert estimates.min() >= 0
        assert estimates.max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 5), (31, 32)])
def test_frames_of_any_size(shape):
    pair = np.random.default_rng(0).random((2, *shape)).astype("float32")
    estimates = estimate(*pair)
    assert estimates.shape == (N_ESTIMATES + 1, *shape)
    assert np.isfinite(estimates).all()
    assert np.isfinite(refine(*pair, estimates[0])).all()


def test_estimates_follow_a_mirrored_pair():
    first = ndimage.gaussian_filter(np.random.default_rng(1).random(SHAPE), 2).astype("float32")
    second = faded(first, decay_map(damage_pattern("gaussian", SHAPE), 0.8, SHAPE))
    flipped = estimate(first[::-1], second[::-1])[:, ::-1]
    # The blocks that determine the error of the offset are not symmetric.
    np.testing.assert_allclose(flipped, estimate(first, second), atol=1e-3)


@pytest.mark.parametrize("dose", [None, 20.0])
@pytest.mark.parametrize("jitter", [0.0, 1.5])
def test_a_wrong_map_is_corrected(jitter, dose):
    rng = np.random.default_rng(0)
    first, second = (lattice(1, row_shift=rng.normal(0, jitter, SHAPE[0])) for _ in range(2))
    pair = [record(f, dose=dose, background=0.1, random_state=rng) for f in (first, 0.6 * second)]
    # Jitter lowers the correlation of neighbouring rows, which must not count as damage.
    for start in (0.8, 0.6, 0.1):
        refined = refine(*pair, np.full_like(first, start))
        assert abs(refined.mean() - 0.6) < 0.04
        assert np.abs(refined - 0.6)[INSIDE].mean() < 0.07


@pytest.mark.parametrize("missing", [40, 70])
def test_a_wrong_map_is_corrected_up_to_the_border_of_the_overlap(missing):
    # The thin side of a wedge is damaged most, and the second frame ends there.
    shape = (160, 256)
    thickness = np.linspace(0.3, 1, shape[1], dtype=np.float32)
    decay = np.linspace(-0.3, 0.95, shape[1], dtype=np.float32).clip(0.05)
    wide = make_scene(shape, content="perfect", spacing=(9, 14), random_state=1)
    first = render_columns(wide, shape) * thickness
    pair = [
        record(frame, dose=10, background=0.1, random_state=seed)
        for seed, frame in enumerate([first, first * decay])
    ]
    overlap = np.ones_like(first)
    overlap[:, :missing] = 0
    refined = refine(*pair, np.full_like(first, 0.6), overlap)
    assert np.abs((refined - decay).mean(axis=0))[missing : missing + 60].max() < 0.08


def test_a_map_is_unchanged_where_there_is_no_structure():
    flat = np.full((40, 40), 3.0, dtype=np.float32)
    decay = np.random.default_rng(0).random((40, 40), dtype=np.float32)
    np.testing.assert_array_equal(refine(flat, flat, decay), decay)


def test_pixels_outside_the_overlap_have_no_influence():
    first = lattice(2)
    second = 0.6 * first
    overlap = np.ones_like(first)
    overlap[:, 100:] = 0
    elsewhere = second.copy()
    elsewhere[:, 100:] = 5 * lattice(3)[:, 100:]
    near = (slice(20, -20), slice(85, 99))

    def error(*arguments):
        return abs(estimate(first, elsewhere, *arguments)[1][near].mean() - 0.6)

    assert error(overlap) < 0.02
    assert error() > 0.1


def test_the_joined_estimate_corrects_the_ratio_of_all_signal():
    # At such low counts the correction is small, so that its initial value matters.
    rng = np.random.default_rng(0)
    frames = [record(f[:40, :50], dose=1, random_state=rng) for f in (lattice(), 0.3 * lattice())]
    pair = AlignedPair.from_frames(*frames)
    above = pair.above(Background(np.zeros_like(frames[0]), 0.0))
    ratio = above.observed.sum() / above.reference.sum()
    assert 0.2 < ratio < 0.5
    expected = refine_decay(above, np.full_like(above.reference, ratio)).clip(0, 1)
    np.testing.assert_allclose(decay_estimates(pair, above)[JOINED], expected, atol=1e-4)
