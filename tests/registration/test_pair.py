import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemkit._scene import Scene, render_columns
from stemkit.datasets import make_drift_pairs, make_scene
from stemkit.degradation import degrade, record
from stemkit.drift import Motion, register
from stemkit.registration._refinement import refine

SHAPE = (160, 144)


@pytest.fixture(scope="module")
def data():
    return make_drift_pairs(4, shape=SHAPE, random_state=31)


@pytest.fixture(scope="module")
def results(data):
    return [register(*pair) for pair in data.pairs]


def corner_errors(result, motion):
    """Return the distances in px between the frame's corners under two motions."""
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * (np.array(motion.shape) - 1)
    return np.hypot(*(result.motion.apply(corners) - motion.apply(corners)).T)


def test_known_motions_are_found(data, results):
    for result, motion in zip(results, data.motion, strict=True):
        if result.confidence > 0.5:
            assert corner_errors(result, motion).max() < 1
    assert sum(result.confidence > 0.5 for result in results) >= 3


def test_without_noise_the_motion_is_right_to_a_fraction_of_a_px():
    data = make_drift_pairs(2, shape=SHAPE, dose=None, row_jitter=0, random_state=4)
    for pair, motion in zip(data.pairs, data.motion, strict=True):
        assert corner_errors(register(*pair), motion).max() < 0.25


def test_sub_pixel_drift_is_not_biased_to_whole_pixels():
    scene = make_scene(SHAPE, random_state=8)
    rng = np.random.default_rng(0)
    found = []
    for dx in (0.0, 0.25, 0.5, 0.75):
        frames = [
            record(degrade(scene, SHAPE, motion=m)[0], dose=500, background=0.1, random_state=rng)
            for m in (Motion(SHAPE), Motion(SHAPE, (0, dx)))
        ]
        found.append(register(*frames, motion="translation").motion.drift)
    np.testing.assert_allclose(found, [[0, dx] for dx in (0, 0.25, 0.5, 0.75)], atol=0.02)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_large_frames_of_a_fine_lattice_are_registered_to_a_fraction_of_a_px(seed):
    shape = (2100, 512)  # planes 9 px apart are aliased by binning with 5
    scene = make_scene(shape, spacing=(9, 14), margin=0.1, random_state=seed)
    expected = Motion.from_parameters(shape, drift=(31.4, -17.7), rotation=np.deg2rad(0.6))
    rng = np.random.default_rng(seed)
    frames = [
        record(degrade(scene, shape, motion=m)[0], dose=10, background=0.1, random_state=rng)
        for m in (None, expected)
    ]
    assert corner_errors(register(*frames), expected).max() < 0.1


def test_a_rotation_of_a_long_narrow_frame_is_not_taken_for_shear():
    shape = (3000, 700)
    scene = make_scene(shape, spacing=(5, 6), margin=0.1, random_state=0)
    expected = Motion.from_parameters(shape, drift=(31.4, -17.7), rotation=np.deg2rad(0.6))
    rng = np.random.default_rng(0)
    frames = [
        record(degrade(scene, shape, motion=m)[0], dose=10, background=0.1, random_state=rng)
        for m in (None, expected)
    ]
    found = register(*frames).motion
    assert abs(np.rad2deg(found.rotation - expected.rotation)) < 0.01
    assert np.hypot(*(found.drift - expected.drift)) < 0.1


@pytest.mark.parametrize(
    "motion, expected",
    [
        ("scan", Motion.from_parameters(SHAPE, drift=(4, -7), shear=0.02, stretch=-0.015)),
        (
            "affine",
            Motion.from_parameters(SHAPE, drift=(-3, 5), rotation=0.03, shear=0.01, scale=1.01),
        ),
        ("translation", Motion(SHAPE, (9.3, -4.6))),
    ],
)
def test_each_model_recovers_its_own_motions(motion, expected):
    scene = make_scene(SHAPE, random_state=12)
    rng = np.random.default_rng(1)
    frames = [
        record(degrade(scene, SHAPE, motion=m)[0], dose=30, background=0.1, random_state=rng)
        for m in (None, expected)
    ]
    result = register(*frames, motion=motion)
    np.testing.assert_allclose(result.motion.drift, expected.drift, atol=0.15)
    np.testing.assert_allclose(result.motion.matrix, expected.matrix, atol=2e-3)
    if motion == "translation":
        np.testing.assert_array_equal(result.motion.matrix, np.eye(2))


def test_swapped_frames_give_the_inverse_motion(data, results):
    for index in (0, 1):
        swapped = register(*data.pairs[index][::-1])
        if min(swapped.confidence, results[index].confidence) > 0.5:
            assert corner_errors(swapped, results[index].motion.inverse()).max() < 0.25


@settings(max_examples=8)
@given(gain=st.floats(1e-6, 1e6), offset=st.floats(-2, 2))
def test_result_does_not_depend_on_the_unit_of_intensity(data, results, gain, offset):
    first, second = data.pairs[0]
    result = register(first, gain * (second + offset))
    assert corner_errors(result, results[0].motion).max() < 0.02
    assert result.confidence == pytest.approx(results[0].confidence, abs=0.02)


def test_a_perfect_lattice_gives_candidates_a_lattice_vector_apart():
    data = make_drift_pairs(3, shape=(192, 192), content="perfect", random_state=3)
    for pair, motion, basis in zip(data.pairs, data.motion, data.basis, strict=True):
        result = register(*pair)
        assert result.confidence < 0.6
        assert len(result.candidates) > 2
        turned = basis @ motion.matrix.T
        for candidate, _ in result.candidates[:3]:
            cells = (candidate.drift - motion.drift) @ np.linalg.inv(turned)
            assert np.hypot(*((cells - np.rint(cells)) @ turned)) < 1.5


def test_weights_belong_to_distinct_candidates_in_order(results):
    for result in results:
        weights = [weight for _, weight in result.candidates]
        assert sum(weights) == pytest.approx(1)
        assert weights == sorted(weights, reverse=True)
        assert result.candidates[0][0] is result.motion
        assert 0 <= result.confidence <= 1
        assert 0 < result.overlap <= 1


def nothing_to_register():
    rng = np.random.default_rng(9)
    shot = rng.poisson(3, (2, 96, 96)).astype(float)
    yield "vacuum", shot
    yield "constant", np.full((2, 64, 64), 7.0)
    yield "zeros", np.zeros((2, 64, 64))
    yield "one constant", np.stack([np.ones((96, 96)), shot[0]])
    yield "saturated", np.full((2, 80, 64), 65535, dtype=np.uint16)
    yield "one pixel", np.ones((2, 1, 1))
    yield "one line", rng.normal(size=(2, 1, 200))
    yield "tiny", rng.normal(size=(2, 5, 7))
    yield "huge values", np.full((2, 40, 40), 1e38)
    yield (
        "one hot pixel",
        np.pad(np.ones((2, 1, 1)), ((0, 0), (30, 33), (20, 11)))[::1] * [[[0]], [[1]]],
    )
    for name, pair in {
        "zeros": np.zeros((2, 96, 96)),
        "noise": rng.normal(100, 10, (2, 96, 96)),
    }.items():
        pair[:, 40, 50] = 1e4
        yield f"one hot pixel in {name}", pair
    # The rotation of a single spot is undetermined.
    atom = Scene(*np.array([[40.0], [70.0], [1.0], [2.5]]))
    yield (
        "one atom",
        np.stack([render_columns(atom, (96, 96)) + 0.1 * rng.random((96, 96)) for _ in "12"]),
    )
    scenes = [make_scene((128, 128), random_state=s) for s in (1, 2)]
    yield "unrelated", np.stack([degrade(s, (128, 128))[0] for s in scenes])


@pytest.mark.parametrize(
    "name, pair", list(nothing_to_register()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_frames_without_a_common_scene_get_no_confidence(name, pair):
    result = register(*pair, bad_pixels=None)
    assert result.confidence < 0.2
    assert np.isfinite(result.motion.drift).all()
    assert np.isfinite(result.motion.matrix).all()
    assert sum(weight for _, weight in result.candidates) == pytest.approx(1)
    assert 0 <= result.overlap <= 1
    assert result.motion.shape == pair.shape[1:]


@pytest.mark.parametrize("counts", [5, 15, 50])
def test_a_few_counts_that_coincide_give_little_confidence(counts):
    rng = np.random.default_rng(counts)
    for _ in range(5):
        pair = rng.poisson(counts / 128**2, (2, 128, 128))
        assert register(*pair, motion="affine").confidence < 0.3


@pytest.mark.parametrize("n_atoms", [12, 40])
def test_a_dozen_atoms_are_enough(n_atoms):
    rng = np.random.default_rng(n_atoms)
    atoms = Scene(*rng.uniform(25, 103, (2, n_atoms)), np.ones(n_atoms), np.full(n_atoms, 2.5))
    motion = Motion.from_parameters((128, 128), drift=(4, -6), rotation=0.02)
    pair = [
        record(
            render_columns(atoms, (128, 128), motion=m), dose=20, background=0.1, random_state=rng
        )
        for m in (None, motion)
    ]
    result = register(*pair)
    assert corner_errors(result, motion).max() < 1.5
    assert result.confidence > 0.7


@pytest.mark.parametrize("unit", [1e-36, 1e-20, 1e20, 1e36])
def test_extreme_units_do_not_matter(data, results, unit):
    other = register(*(data.pairs[0] * np.float32(unit)))
    np.testing.assert_allclose(other.motion.drift, results[0].motion.drift, atol=1e-3)
    assert other.confidence == pytest.approx(results[0].confidence, abs=1e-3)


def test_large_and_odd_frames_are_binned_without_losing_the_centre():
    shape = (611, 683)
    data = make_drift_pairs(1, shape=shape, random_state=5, dose=20)
    result = register(*data.pairs[0])
    assert corner_errors(result, data.motion[0]).max() < 1


def test_drift_of_real_frames_agrees_with_the_published_one(shared_data):
    from skimage.io import imread

    frames = [imread(shared_data / "llzo" / f"tilt_JEOL_{i}.png") for i in (1, 2)]
    result = register(*frames)
    assert np.hypot(*(result.motion.drift - (18.2, 45.3))) < 4
    assert result.confidence > 0.5


@pytest.mark.parametrize(
    "options, message",
    [
        ({"motion": "elastic"}, "motion must be one of"),
        ({"max_drift": 1.5}, r"max_drift must be a finite number in \(0, 1\)"),
        ({"max_rotation": -1}, r"max_rotation must be a finite number of degrees in \[0, 180\]"),
        ({"max_step": 0}, "max_step must be .* px"),
        ({"scale": 3}, r"scale must be a finite number in \[0.5, 2\]"),
        ({"scale": (1.2, 1.0)}, "pass the lower limit first"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        register(np.ones((32, 32)), np.ones((32, 32)), **options)


def test_bad_frames_are_named():
    with pytest.raises(ValueError, match="first has shape"):
        register(np.ones((32, 32)), np.ones((32, 31)))
    with pytest.raises(ValueError, match="NaN"):
        register(np.ones((32, 32)), np.full((32, 32), np.nan))


def lattice_pair(drift, rng, spacing):
    """Return noiseless frames of a lattice with vacancies."""
    y, x = (np.indices((60, 60)) * spacing - 25 * spacing).reshape(2, -1)
    y, x = np.array([[1, 0.2], [-0.2, 1]]) @ [y, x] + rng.uniform(0, spacing, (2, 1))
    kept = rng.random(len(y)) > 0.04
    scene = Scene(y[kept], x[kept], *np.ones((2, kept.sum())) * [[1.0], [0.16 * spacing]])
    return [render_columns(scene, (128, 128), motion=m) for m in (None, Motion((128, 128), drift))]


@pytest.mark.parametrize("spacing", [10.0, 21.0])
def test_frames_of_a_lattice_without_overlap_get_no_confidence(spacing):
    # Without a true overlap, all drifts by lattice vectors agree, and differ only in their overlap.
    rng = np.random.default_rng(int(spacing))
    for _ in range(4):
        clean = lattice_pair((-35, 150), rng, spacing)
        pair = [record(frame, dose=20, random_state=rng) for frame in clean]
        assert register(*pair).confidence < 0.5


@pytest.mark.parametrize("spacing", [13.0, 17.0, 21.0])
def test_borders_of_noiseless_frames_are_not_registered(spacing):
    # Without noise all frequencies have equal weight, including those of border effects of filters.
    for seed in range(4):
        apart = lattice_pair((-35, 150), np.random.default_rng(seed), spacing)
        assert register(*apart).confidence < 0.7
        shifted = lattice_pair((-21.2, -29), np.random.default_rng(seed), spacing)
        result = register(*shifted)
        if result.confidence > 0.3:
            np.testing.assert_allclose(result.motion.drift, (-21.2, -29), atol=0.05)


@pytest.mark.parametrize("shear, is_jitter", [(0.0, True), (0.03, False)])
def test_a_shear_is_left_out_only_if_jitter_explains_it(shear, is_jitter, monkeypatch):
    fitted = []

    def recorded(frames, start, parameters, **options):
        fitted.append(parameters)
        return refine(frames, start, parameters, **options)

    monkeypatch.setattr("stemkit.registration._pair.refine", recorded)
    scene = make_scene(SHAPE, random_state=12)
    motion = Motion.from_parameters(SHAPE, drift=(4, -7), shear=shear)
    frames = [
        record(degrade(scene, SHAPE, motion=m)[0], dose=100, random_state=1) for m in (None, motion)
    ]
    found = register(*frames, motion="rigid").motion
    assert fitted[-1] == (() if is_jitter else ("rotation", "shear"))
    np.testing.assert_allclose(found.drift, motion.drift, atol=0.15)


def test_tensors_with_a_gradient_are_registered_and_ragged_frames_named():
    frame = torch.rand(20, 20, requires_grad=True)
    assert register(frame, frame.half()).motion.shape == (20, 20)
    with pytest.raises(ValueError, match=r"^second holds frames of different shapes"):
        register(frame, [[1, 2], [3]])


@pytest.fixture(scope="module")
def moved_scene():
    """Two noisy frames of a scene that moves by (9, -6), without a period."""
    scene, shape = make_scene((160, 160), random_state=3), (160, 160)
    motion = Motion(shape, (9, -6))
    return np.stack(
        [
            record(degrade(scene, shape, motion=m)[0], dose=60, background=0.1, random_state=i)
            for i, m in enumerate((Motion(shape), motion))
        ]
    ).astype("f4")


def lost(frames, kind):
    """Return frames in which a part holds no data."""
    frames = frames.copy()
    if kind == "stopped":
        frames[1, 90:] = 0
    elif kind == "left half of the first":
        frames[0, :, :70] = np.nan
    elif kind == "beam stop":
        frames[:, 40:110, 50:115] = np.nan
    elif kind == "bar with text":
        frames[:, 130:] = 0
        frames[:, 138:150, 20:60:3] = frames.max()
    elif kind == "single pixels":
        frames[np.random.default_rng(1).random(frames.shape) < 0.03] = np.nan
    return frames


@pytest.mark.filterwarnings("ignore::stemkit.exceptions.BadPixelWarning")
@pytest.mark.parametrize("bad_pixels", ["repair", "mask"])
@pytest.mark.parametrize(
    "kind", ["stopped", "left half of the first", "beam stop", "bar with text", "single pixels"]
)
def test_the_motion_is_that_of_the_recorded_parts(moved_scene, kind, bad_pixels):
    found = register(*lost(moved_scene, kind), motion="translation", bad_pixels=bad_pixels)
    assert found.confidence > 0.9
    np.testing.assert_allclose(found.motion.drift, (9, -6), atol=0.1)


@pytest.mark.filterwarnings("ignore::stemkit.exceptions.BadPixelWarning")
def test_values_in_parts_without_data_have_no_influence(moved_scene):
    where = np.zeros(moved_scene.shape, bool)
    where[:, 40:110, 50:115] = True
    rng = np.random.default_rng(0)
    values = np.where(where, 1e3 * rng.random(where.shape[1:], dtype="f4"), moved_scene)
    fixed = register(*np.ma.array(values, mask=where))
    plain = register(*np.ma.array(moved_scene, mask=where))
    assert fixed == plain or np.array_equal(fixed.motion.drift, plain.motion.drift)


@pytest.mark.filterwarnings("ignore::stemkit.exceptions.BadPixelWarning")
def test_the_overlap_is_that_of_the_data(moved_scene):
    found = register(*lost(moved_scene, "stopped"), motion="translation")
    # Rows 90 and on are missing in the second frame: its data are 81 rows of the first.
    assert found.overlap == pytest.approx(81 * 154 / 160**2, abs=0.02)


@pytest.mark.parametrize(
    "degrees, motion", [(10, "rigid"), (-170, "rigid"), (90, "affine"), (180, "rigid")]
)
def test_large_rotations_are_found_within_their_limit(degrees, motion):
    shape = (128, 128)
    scene = make_scene(shape, margin=0.3, random_state=3)
    expected = Motion.from_parameters(shape, drift=(5, -8), rotation=np.deg2rad(degrees))
    rng = np.random.default_rng(0)
    frames = [
        record(degrade(scene, shape, motion=m)[0], dose=50, background=0.1, random_state=rng)
        for m in (None, expected)
    ]
    result = register(*frames, motion=motion, max_rotation=max(12, abs(degrees)))
    assert corner_errors(result, expected).max() < 0.5
    assert result.confidence > 0.5


@pytest.mark.parametrize(
    "motion, scale", [("translation", 1.1), ("rigid", (0.9, 1.2)), ("affine", (1.0, 1.2))]
)
def test_magnifications_are_given_or_searched(motion, scale):
    shape = (128, 128)
    scene = make_scene(shape, random_state=4)
    expected = Motion.from_parameters(shape, drift=(4, -6), scale=1.1, stretch=0.1)
    rng = np.random.default_rng(0)
    frames = [
        record(degrade(scene, shape, motion=m)[0], dose=50, background=0.1, random_state=rng)
        for m in (None, expected)
    ]
    result = register(*frames, motion=motion, scale=scale)
    assert corner_errors(result, expected).max() < 0.5
    assert result.confidence > 0.5


@pytest.mark.parametrize("shape", [(640, 80), (80, 640)])
@pytest.mark.parametrize("motion", ["translation", "affine"])
def test_long_narrow_frames_are_registered_like_square_ones(shape, motion):
    scene = make_scene(shape, spacing=(9, 12), margin=0.1, random_state=1)
    expected = Motion(shape, (9.4, -6.3))
    rng = np.random.default_rng(0)
    frames = [
        record(degrade(scene, shape, motion=m)[0], dose=20, background=0.1, random_state=rng)
        for m in (None, expected)
    ]
    result = register(*frames, motion=motion)
    assert np.hypot(*(result.motion.drift - expected.drift)) < 0.2
    assert result.confidence > 0.9


def perfect_lattice(drift, rng, *, period=14.0, side=112):
    y, x = np.indices((side, side)) - np.reshape(drift, (2, 1, 1))
    waves = (1 + np.cos(2 * np.pi * x / period)) * (1 + np.cos(2 * np.pi * y / period))
    return rng.poisson(5 * waves + 1)


def test_the_nearest_drift_on_a_perfect_lattice_is_taken_if_steps_are_small():
    rng = np.random.default_rng(0)
    frames = [perfect_lattice(drift, rng) for drift in ((0, 0), (2, -4))]
    small = register(*frames, motion="translation", max_step=6)
    np.testing.assert_allclose(small.motion.drift, (2, -4), atol=0.2)
    assert small.confidence > 0.5
    # Within reach of another lattice vector, the drift stays unknown.
    assert register(*frames, motion="translation", max_step=14).confidence < 0.5
    assert register(*frames, motion="translation").confidence < 0.5


def test_a_limit_that_excludes_the_true_drift_gives_no_confidence(data):
    index = int(np.argmax(np.hypot(*data.drift.T)))
    result = register(*data.pairs[index], max_step=np.hypot(*data.drift[index]) / 3)
    assert result.confidence < 0.5


def test_noise_within_a_small_step_is_no_motion():
    noise = np.random.default_rng(0).poisson(20, (2, 96, 96))
    assert register(*noise, motion="translation", max_step=4).confidence < 0.2
