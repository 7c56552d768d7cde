import numpy as np
import pytest
from scipy import ndimage

from stemkit._scene import render_columns
from stemkit.datasets import make_scene
from stemkit.degradation import damage_pattern, decay_map, degrade, record
from stemkit.drift._evidence import N_EVIDENCE, evidence_maps, unexplained_decay

SHAPE = (128, 144)
COVARIANCE, POWER, MEAN = slice(0, 4), 4, 5


def scene(seed=0, spacing=(9, 14)):
    return make_scene(SHAPE, content="perfect", spacing=spacing, random_state=seed)


def lattice(seed=0, **arguments):
    return render_columns(scene(seed), SHAPE, **arguments)


def faded(frame, decay):
    return (frame * decay).astype("float32")


@pytest.mark.parametrize("decay", [1.0, 0.7, 0.3, 0.05])
@pytest.mark.parametrize("seed", range(4))
def test_even_damage_without_noise_is_read_exactly(seed, decay):
    first = lattice(seed)
    evidence = evidence_maps(first, faded(first, decay))
    assert evidence.shape == (N_EVIDENCE, *SHAPE)
    assert evidence.dtype == np.float32
    np.testing.assert_allclose(evidence[COVARIANCE], decay, atol=1e-3)
    np.testing.assert_allclose(evidence[POWER], decay, atol=1e-3)


def test_mean_is_read_exactly_above_a_dark_background():
    first = lattice()
    first[:, 100:] = 0  # vacuum says what dark is
    evidence = evidence_maps(first, faded(first, 0.4))[MEAN]
    np.testing.assert_allclose(evidence[:, :80], 0.4, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0, 1000.7])
def test_identical_frames_are_undamaged(value):
    constant = np.full((40, 50), value, dtype="float32")
    np.testing.assert_array_equal(evidence_maps(constant, constant), 1)
    first = lattice() + np.float32(value)
    np.testing.assert_allclose(evidence_maps(first, first), 1, atol=1e-3)


def test_what_is_gone_is_gone():
    np.testing.assert_allclose(evidence_maps(lattice(), np.zeros(SHAPE, "float32")), 0, atol=1e-6)


@pytest.mark.parametrize("gain", [1e-9, 1e-3, 1e6])
def test_gain_does_not_matter(gain):
    first, second = lattice(), faded(lattice(), 0.5)
    expected = evidence_maps(first, second)
    scaled = evidence_maps(*(np.float32(gain) * frame for frame in (first, second)))
    np.testing.assert_allclose(scaled, expected, atol=1e-5)


def test_added_background_deceives_only_the_mean():
    first, second = lattice(), faded(lattice(), 0.5)
    expected = evidence_maps(first, second)
    y, x = np.indices(SHAPE, dtype="float32") / 128
    slope = evidence_maps(first, second + 0.3 * y + 0.2 * x)
    # Where a slope meets its mirror image at the border it has a kink, which is structure.
    slope, expected = (maps[:, 30:-30, 30:-30] for maps in (slope, expected))
    np.testing.assert_allclose(slope[COVARIANCE], expected[COVARIANCE], atol=0.02)
    np.testing.assert_allclose(slope[POWER], expected[POWER], atol=0.02)
    assert np.abs(slope[MEAN] - expected[MEAN]).mean() > 0.1


def test_each_place_is_read_for_itself():
    first = lattice(2)
    hole = damage_pattern("gaussian", SHAPE, cell=30)
    truth = decay_map(hole, 0.9, SHAPE)
    evidence = evidence_maps(first, faded(first, truth))
    errors = np.abs(evidence - truth).mean(axis=(1, 2))
    assert (errors[:3] < 0.04).all()
    assert errors[POWER] < 0.05
    # What is wide is blurred.
    assert errors[3] > 2 * errors[1]


@pytest.mark.parametrize("dose", [5.0, 50.0])
@pytest.mark.parametrize("decay", [0.7, 0.3])
def test_shot_noise_does_not_bias(dose, decay):
    first = lattice(1)
    rng = np.random.default_rng(7)
    background = 0.2
    estimates = np.mean(
        [
            evidence_maps(
                *(
                    record(f, dose=dose, background=background, random_state=rng)
                    for f in (first, faded(first, decay))
                )
            )
            for _ in range(12)
        ],
        axis=0,
    )
    # Wide windows: narrow ones are cut at 0 and 1, which bends their mean.
    assert estimates[2].mean() == pytest.approx(decay, abs=0.03)
    assert estimates[3].mean() == pytest.approx(decay, abs=0.03)
    if dose > 10:
        assert estimates[POWER].mean() == pytest.approx(decay, abs=0.03)


def test_windows_trade_noise_for_blur():
    first = lattice(1)
    pair = [record(f, dose=10, random_state=s) for s, f in enumerate((first, faded(first, 0.5)))]
    spread = evidence_maps(*pair)[COVARIANCE].std(axis=(1, 2))
    assert (np.diff(spread) < 0).all()
    assert spread[0] > 3 * spread[3]


def test_power_bears_row_jitter_and_covariance_does_not():
    rng = np.random.default_rng(3)
    first, second = (lattice(1, row_shift=rng.normal(0, 3, SHAPE[0])) for _ in range(2))
    evidence = evidence_maps(first, faded(second, 0.6))
    assert evidence[POWER].mean() == pytest.approx(0.6, abs=0.03)
    assert evidence[3].mean() < 0.5


def test_mean_is_blind_to_amorphised_matter():
    def even(y, x):
        return np.ones(np.broadcast_shapes(np.shape(y), np.shape(x)))

    first = lattice(1)
    second, _ = degrade(scene(1), SHAPE, damage=even, strength=0.7, amorphous=1.0)
    first[:, :20], second[:, :20] = 0, 0
    inside = (slice(30, -30), slice(50, -30))
    evidence = evidence_maps(first, second)[(slice(None), *inside)]
    assert evidence[MEAN].mean() > 0.95
    assert evidence[1].mean() == pytest.approx(0.3, abs=0.05)


def test_estimates_stay_between_none_and_all():
    rng = np.random.default_rng(0)
    noise = rng.poisson(0.2, (2, 40, 50)).astype("float32")
    for first, second in (noise, noise[::-1], (noise[0], -noise[1]), (lattice(), 5 * lattice())):
        evidence = evidence_maps(first, second)
        assert np.isfinite(evidence).all()
        assert evidence.min() >= 0
        assert evidence.max() <= 1


def test_estimates_follow_a_mirrored_pair():
    first = ndimage.gaussian_filter(np.random.default_rng(1).random(SHAPE), 2).astype("float32")
    second = faded(first, decay_map(damage_pattern("gaussian", SHAPE), 0.8, SHAPE))
    flipped = evidence_maps(first[::-1], second[::-1])[:, ::-1]
    np.testing.assert_allclose(flipped, evidence_maps(first, second), atol=1e-4)


@pytest.mark.parametrize("jitter", [0.0, 1.5])
def test_what_a_map_leaves_unexplained_is_its_error(jitter):
    rng = np.random.default_rng(0)
    first, second = (lattice(1, row_shift=rng.normal(0, jitter, SHAPE[0])) for _ in range(2))
    wrong = np.full_like(first, 0.8)
    missing = unexplained_decay(first, 0.6 * second, wrong)
    # Rows that lie beside each other share less than they have: not damage.
    assert abs(missing.mean() + 0.2) < 0.03
    right = np.full_like(first, 0.6)
    assert abs(unexplained_decay(first, 0.6 * second, right).mean()) < 0.03


def test_nothing_is_left_unexplained_where_there_is_no_structure():
    flat = np.full((40, 40), 3.0, dtype=np.float32)
    assert not unexplained_decay(flat, flat, np.ones_like(flat)).any()


def test_what_lies_outside_the_overlap_has_no_say():
    first = lattice(2)
    second = 0.6 * first
    overlap = np.ones_like(first)
    overlap[:, 100:] = 0
    elsewhere = second.copy()
    elsewhere[:, 100:] = 5 * lattice(3)[:, 100:]
    near = (slice(20, -20), slice(85, 99))

    def error(*arguments):
        return abs(evidence_maps(first, elsewhere, *arguments)[2][near].mean() - 0.6)

    assert error(overlap) < 0.5 * error()
