import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from stemkit._scene import Scene, render_columns, render_film
from stemkit.datasets import make_scene
from stemkit.degradation import damage_pattern, decay_map, degrade, record
from stemkit.drift import Motion
from stemkit.exceptions import InvalidParameterError

SHAPE = (64, 80)
KINDS = ["gaussian", "perlin", "random"]
MOTION = Motion.from_parameters(SHAPE, drift=(4, -6), rotation=0.1)


def evaluate(pattern, shape=SHAPE):
    return pattern(*np.indices(shape).astype(float))


@given(
    st.sampled_from(KINDS),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 2**31),
)
@settings(max_examples=40)
def test_damage_lies_between_0_and_1(kind, shape, seed):
    pattern = damage_pattern(kind, shape, random_state=seed)
    # The pattern is also defined outside the frame, since the specimen drifts.
    y, x = np.meshgrid(*[np.linspace(-n, 2 * n, 40) for n in shape], indexing="ij")
    damage = pattern(y, x)
    assert damage.shape == y.shape
    assert np.isfinite(damage).all()
    assert damage.min() >= 0
    assert damage.max() <= 1


@pytest.mark.parametrize("shape", [(64, 80), (200, 150), (40, 300)])
@pytest.mark.parametrize("kind", KINDS)
def test_patterns_use_the_whole_range_over_the_frame(kind, shape):
    damage = evaluate(damage_pattern(kind, shape, random_state=3), shape)
    assert damage.min() < 0.05
    assert damage.max() > 0.95


def test_the_hole_is_a_gaussian():
    y, x = np.indices(SHAPE)
    expected = np.exp(-((y - 31.5) ** 2 + (x - 39.5) ** 2) / (2 * (0.18 * 64) ** 2))
    np.testing.assert_allclose(evaluate(damage_pattern("gaussian", SHAPE)), expected)
    own = damage_pattern("gaussian", SHAPE, cell=5, center=(10, 20))
    assert own(np.array(10.0), np.array(20.0)) == 1
    assert own(np.array(10.0), np.array(25.0)) == pytest.approx(np.exp(-0.5))


def test_noise_is_as_fine_as_its_cell():
    def correlation_length(**which):
        damage = evaluate(damage_pattern(random_state=5, shape=(256, 256), **which), (256, 256))
        gradient = np.mean([np.mean(g**2) for g in np.gradient(damage)])
        return damage.std() / np.sqrt(gradient)

    lengths = [correlation_length(kind="perlin", cell=cell) for cell in (8, 16, 32, 64)]
    ratios = np.divide(lengths[1:], lengths[:-1])
    np.testing.assert_allclose(ratios, 2, rtol=0.3)
    assert correlation_length(kind="perlin") == pytest.approx(lengths[-1])
    assert correlation_length(kind="random", row_jitter=0) == pytest.approx(lengths[1], rel=0.3)


def test_fine_noise_has_jittered_rows():
    def made(row_jitter):
        pattern = damage_pattern(
            "random", SHAPE, row_jitter=row_jitter, random_state=np.random.default_rng(6)
        )
        return evaluate(pattern)

    still, jittered = made(0.0), made(2.0)
    smooth = [np.abs(np.diff(jittered, axis=axis)).mean() for axis in (0, 1)]
    assert smooth[0] > 1.5 * smooth[1]
    # Each row is a row of the smooth noise with one shift.
    shifts = np.arange(-6, 6.01, 0.05)
    for row in range(0, 64, 7):
        moved = ndimage.map_coordinates(
            still[row], [(np.arange(12, 68)[None] + shifts[:, None]).ravel()], order=3
        ).reshape(len(shifts), -1)
        assert np.abs(moved - jittered[row, 12:68]).max(axis=1).min() < 0.02


@pytest.mark.parametrize("kind", ["perlin", "random"])
def test_patterns_are_reproducible(kind):
    one, same, other = (
        evaluate(damage_pattern(kind, SHAPE, random_state=seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.9


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"kind": "fog"}, r'^kind must be one of .*"perlin".*got \'fog\''),
        ({"cell": 0}, r"^cell must be a finite number of px in \[0.1, 1e\+06\] or None; got 0"),
        ({"cell": -3}, "^cell must be"),
        ({"cell": np.nan}, "^cell must be"),
        ({"shape": (8,)}, r"^shape must be \(H, W\)"),
        ({"shape": 8}, r"^shape must be \(H, W\)"),
        ({"center": (1,)}, "^center must be 2 items"),
        ({"row_jitter": -1}, "^row_jitter must be"),
        ({"random_state": "x"}, "^random_state must be"),
    ],
)
def test_invalid_patterns_are_named(arguments, what):
    with pytest.raises(InvalidParameterError, match=what):
        damage_pattern(**{"kind": "perlin", "shape": SHAPE, **arguments})


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"scene": 3}, "^scene must be a Scene"),
        ({"motion": (1, 2)}, "^motion must be a Motion or None"),
        ({"damage": 0.5}, "^damage must be a callable or None"),
        ({"damage": lambda y, x: np.ones(3)}, r"^damage must return .* got shape \(3,\)"),
        ({"damage": lambda y, x: y * np.nan}, "^damage must return finite numbers"),
        ({"strength": -1}, "^strength must be"),
        ({"amorphous": 1.5}, "^amorphous must be"),
        ({"row_shift": np.zeros(3)}, r"^row_shift must be finite and of shape \(64,\)"),
        ({"row_shift": np.full(64, np.inf)}, "^row_shift must be finite"),
        ({"row_shift": ["a"] * 64}, "^row_shift must be numbers"),
    ],
)
def test_invalid_arguments_of_degrade_are_named(arguments, what):
    scene = make_scene(SHAPE, random_state=0)
    with pytest.raises(ValueError, match=what):
        degrade(**{"scene": scene, "shape": SHAPE, **arguments})


@pytest.mark.parametrize("kind", KINDS)
def test_damage_drifts_with_the_specimen(kind):
    pattern = damage_pattern(kind, SHAPE, random_state=2)
    first = decay_map(pattern, 0.8, SHAPE)
    assert first.dtype == np.float32
    np.testing.assert_allclose(first, 1 - 0.8 * evaluate(pattern), atol=1e-6)
    second = decay_map(pattern, 0.8, SHAPE, motion=Motion(SHAPE, (5, -3)))
    np.testing.assert_allclose(second[5:, :-3], first[:-5, 3:], atol=1e-6)
    turned = decay_map(pattern, 0.8, SHAPE, motion=MOTION)
    grid = np.indices(SHAPE).reshape(2, -1).T.astype(float)
    back = MOTION.inverse().apply(grid)
    np.testing.assert_allclose(turned.ravel(), 1 - 0.8 * pattern(*back.T), atol=1e-6)


def test_damage_is_cut_at_1():
    decay = decay_map(damage_pattern("gaussian", SHAPE), 3.0, SHAPE)
    assert decay.min() == 0
    assert (decay == 0).sum() > 10


def even(y, x):
    return np.ones(np.broadcast_shapes(np.shape(y), np.shape(x)))


@pytest.mark.parametrize("motion", [None, MOTION])
@pytest.mark.parametrize("row_shift", [None, np.random.default_rng(0).normal(0, 1, SHAPE[0])])
def test_columns_fade_and_the_film_stays(motion, row_shift):
    scene = make_scene(SHAPE, random_state=1)
    assert len(scene.waves) > 1
    where = {"motion": motion, "row_shift": row_shift}
    hole = damage_pattern("gaussian", SHAPE)
    signal, decay = degrade(scene, SHAPE, damage=hole, strength=0.7, **where)
    np.testing.assert_array_equal(decay, decay_map(hole, 0.7, SHAPE, **where))
    expected = render_columns(scene, SHAPE, **where) * decay
    expected += render_film(scene, SHAPE, motion=motion)
    np.testing.assert_allclose(signal, expected, atol=1e-6)
    assert signal.dtype == decay.dtype == np.float32


def test_without_damage_nothing_fades():
    scene = make_scene(SHAPE, random_state=1)
    signal, decay = degrade(scene, SHAPE, amorphous=1.0)
    assert (decay == 1).all()
    none, _ = degrade(scene, SHAPE, damage=even, strength=0.0, amorphous=1.0)
    np.testing.assert_array_equal(signal, none)


def test_amorphous_material_loses_its_lattice_and_keeps_its_mean():
    y, x = np.indices((30, 30)).reshape(2, -1) * 8.0 - 60
    lattice = Scene(y, x, np.ones(900), np.full(900, 1.8))
    shape = (96, 96)
    first, _ = degrade(lattice, shape)
    for kept in (0.0, 0.5, 1.0):
        faded, _ = degrade(lattice, shape, damage=even, strength=0.75, amorphous=kept)
        inside = (slice(24, 72), slice(24, 72))
        share = faded[inside].mean() / first[inside].mean()
        assert share == pytest.approx(0.25 + 0.75 * kept, abs=0.005)
        assert faded[inside].std() / first[inside].std() == pytest.approx(0.25, abs=0.005)


@pytest.mark.parametrize("dose", [0.3, 3.0, 30.0, 1000.0])
def test_shot_noise_is_poisson_noise(dose):
    n = 200 * 200
    counts = record(np.ones((200, 200), "float32"), dose=dose, random_state=11) * dose
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-3)
    counts = np.rint(counts).astype(int)
    # Five standard errors are exceeded once in two million draws.
    assert abs(counts.mean() - dose) < 5 * np.sqrt(dose / n)
    assert abs(counts.var() - dose) < 5 * np.sqrt((dose + 2 * dose**2) / n)
    edges = np.unique(stats.poisson.ppf(np.linspace(0.02, 0.98, 20), dose))
    expected = np.diff(stats.poisson.cdf(np.concatenate([[-1], edges, [np.inf]]), dose))
    observed = np.histogram(counts, np.concatenate([[-1], edges, [2**40]]) + 0.5)[0]
    assert stats.chisquare(observed, n * expected).pvalue > 1e-6
    neighbours = np.corrcoef(counts[:, 1:].ravel(), counts[:, :-1].ravel())[0, 1]
    assert abs(neighbours) < 5 / np.sqrt(n)


def test_the_variance_is_proportional_to_the_signal():
    signal = np.linspace(0, 2, 5, dtype="float32")[:, None] * np.ones((1, 40000), "float32")
    frame = record(signal, dose=20, background=0.5, random_state=0)
    np.testing.assert_allclose(frame.mean(axis=1), signal[:, 0] + 0.5, rtol=0.01)
    np.testing.assert_allclose(frame.var(axis=1), (signal[:, 0] + 0.5) / 20, rtol=0.05)


def test_recorded_frames_keep_shape_and_units():
    signal = np.linspace(-0.5, 1, 24, dtype="float32").reshape(2, 3, 4)
    quiet = record(signal, background=0.2)
    np.testing.assert_allclose(quiet, np.maximum(signal + 0.2, 0), atol=1e-6)
    noisy = record(signal, dose=1e6, background=0.2, random_state=0)
    assert noisy.shape == signal.shape
    assert noisy.dtype == quiet.dtype == np.float32
    np.testing.assert_allclose(noisy, quiet, atol=0.01)


@pytest.mark.parametrize("dose", [0, -1, np.nan, np.inf, "10", True])
def test_invalid_doses_are_named(dose):
    with pytest.raises(InvalidParameterError, match=r"^dose must be .* above 0 or None; got"):
        record(np.ones((2, 2), "float32"), dose=dose)


@pytest.mark.parametrize("dose", [None, 5.0])
def test_values_that_are_not_finite_are_an_error(dose):
    ones = np.ones((2, 2), "float32")
    for signal in (ones * np.nan, ones * np.inf, ones.astype(float) * 1e60, ones * 1j):
        with pytest.raises(ValueError, match=r"^signal"):
            record(signal, dose=dose)
    for signal in (1.0, np.ones(4), "x", torch.ones(2, 2, requires_grad=True)):
        with pytest.raises(ValueError, match=r"^signal"):
            record(signal, dose=dose)
    with pytest.raises(ValueError, match=r"^signal contains"):
        record(ones, background=1e39, dose=dose)
    with pytest.raises(ValueError, match=r"^dose 5 gives up to 1e"):
        record(ones * 1e30, dose=5)
    assert np.isfinite(record(ones * 1e30)).all()


def test_noise_is_reproducible_and_does_not_change_global_state():
    before = np.random.get_state()[1].copy()
    signal = np.ones((20, 20), "float32")
    one, same, other = (record(signal, dose=5, random_state=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    record(signal, dose=5)
    damage_pattern("random", SHAPE)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
