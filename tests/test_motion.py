import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage import transform

from stemkit._scene import Scene, render_columns
from stemkit.drift import Motion, coverage, warp


def finite(low, high):
    return st.floats(low, high, allow_nan=False, width=64)


shapes = st.tuples(st.integers(1, 60), st.integers(1, 60))
drifts = st.tuples(finite(-30, 30), finite(-30, 30))
parameters = st.fixed_dictionaries(
    {
        "drift": drifts,
        "rotation": finite(-3.1, 3.1),
        "shear": finite(-0.3, 0.3),
        "stretch": finite(-0.3, 0.3),
        "scale": finite(0.7, 1.4),
    }
)


@st.composite
def motions(draw, n=1):
    shape = draw(shapes)
    made = [Motion.from_parameters(shape, **draw(parameters)) for _ in range(n)]
    return made[0] if n == 1 else made


points = st.lists(st.tuples(finite(-80, 80), finite(-80, 80)), min_size=1, max_size=5).map(np.array)


@given(motions(), points)
def test_points_go_where_scikit_image_puts_them(motion, points):
    expected = motion.to_skimage()(points[:, ::-1])[:, ::-1]
    np.testing.assert_allclose(motion.apply(points), expected, atol=1e-9)


@given(motions(n=3), points)
def test_motions_form_a_group(three, points):
    a, b, c = three
    np.testing.assert_allclose(a.then(b).apply(points), b.apply(a.apply(points)), atol=1e-9)
    np.testing.assert_allclose(a.inverse().apply(a.apply(points)), points, atol=1e-8)
    one, other = a.then(b).then(c), a.then(b.then(c))
    np.testing.assert_allclose(one.matrix, other.matrix, atol=1e-12)
    np.testing.assert_allclose(one.drift, other.drift, atol=1e-9)


@given(motions(), points, finite(0, 1))
def test_points_go_straight_in_time(motion, points, t):
    expected = (1 - t) * points + t * motion.apply(points)
    np.testing.assert_allclose(motion.at(t).apply(points), expected, atol=1e-9)


@given(shapes, parameters)
def test_parameters_are_read_back(shape, given_parameters):
    motion = Motion.from_parameters(shape, **given_parameters)
    np.testing.assert_array_equal(motion.drift, given_parameters["drift"])
    for name in ("rotation", "shear", "stretch", "scale"):
        assert getattr(motion, name) == pytest.approx(given_parameters[name], abs=1e-12), name


def test_scan_drift_leaves_the_fast_axis_and_shears_the_slow_one():
    # While the scan goes down one row the specimen moves by (0.02, 0.01) px.
    motion = Motion.from_parameters((101, 101), stretch=0.02, shear=0.01)
    np.testing.assert_allclose(motion.apply([[50, 0], [50, 100]]), [[50, 0], [50, 100]])
    np.testing.assert_allclose(motion.apply([[51, 50]]) - motion.apply([[50, 50]]), [[1.02, 0.01]])


def test_rotation_is_counter_clockwise_as_scikit_image_draws_it():
    frame = smooth_frame((60, 81))
    turned = warp(frame, Motion.from_parameters(frame.shape, rotation=np.deg2rad(12)))
    expected = transform.rotate(frame, 12, order=3, mode="edge", preserve_range=True)
    np.testing.assert_allclose(turned[8:-8, 8:-8], expected[8:-8, 8:-8], atol=0.01)
    assert np.abs(turned - frame)[8:-8, 8:-8].max() > 0.2


def test_transform_is_euclidean_where_the_motion_is():
    rigid = Motion.from_parameters((20, 30), drift=(1, 2), rotation=0.3).to_skimage()
    assert isinstance(rigid, transform.EuclideanTransform)
    assert rigid.rotation == pytest.approx(-0.3)  # in (x, y) with y down
    sheared = Motion.from_parameters((20, 30), shear=0.01).to_skimage()
    assert type(sheared) is transform.AffineTransform


@given(motions(), points, st.integers(1, 8))
def test_rescaled_motion_moves_the_same_blocks(motion, points, binning):
    def block(p):  # coordinates of the same place in the binned frame: pixel edges coincide
        return (p + 0.5) / binning - 0.5

    small = tuple(max(n // binning, 1) for n in motion.shape)
    binned = motion.rescaled(1 / binning, small)
    assert binned.shape == small
    np.testing.assert_allclose(binned.apply(block(points)), block(motion.apply(points)), atol=1e-8)
    back = binned.rescaled(binning, motion.shape)
    np.testing.assert_allclose(back.drift, motion.drift, atol=1e-8)


def test_binned_frames_show_the_rescaled_motion():
    # A rim of one row and two columns fills no block and shifts the centre.
    shape, binning = (121, 142), 3
    motion = Motion.from_parameters(shape, drift=(5.3, -4.1), rotation=0.6)
    rng = np.random.default_rng(0)
    spots = Scene(*rng.uniform(-20, 160, (2, 150)), rng.uniform(0.5, 1, 150), np.full(150, 5.0))

    def draw(**where):
        frame = render_columns(spots, shape, **where)
        return frame[:120, :141].reshape(40, 3, 47, 3).mean(axis=(1, 3), dtype="float32")

    found = warp(draw(), motion.rescaled(1 / binning, (40, 47)))
    inside = ndimage.binary_erosion(coverage(motion.rescaled(1 / binning, (40, 47))), iterations=3)
    inside[:3], inside[-3:], inside[:, :3], inside[:, -3:] = False, False, False, False
    assert inside.sum() > 500
    np.testing.assert_allclose(found[inside], draw(motion=motion)[inside], atol=0.02)


def smooth_frame(shape, seed=0):
    noise = np.random.default_rng(seed).standard_normal(shape)
    frame = ndimage.gaussian_filter(noise, 3)
    return (frame / frame.std()).astype("float32")


@pytest.mark.parametrize("drift", [(0, 0), (3, -5), (-4, 2)])
@pytest.mark.parametrize("order", [1, 3])
def test_whole_pixels_are_moved_exactly(drift, order):
    frame = smooth_frame((24, 31))
    moved = warp(frame, Motion(frame.shape, drift), order=order, fill=0.0)
    dy, dx = drift
    expected = np.zeros_like(frame)
    expected[max(dy, 0) : 24 + min(dy, 0), max(dx, 0) : 31 + min(dx, 0)] = frame[
        max(-dy, 0) : 24 - max(dy, 0), max(-dx, 0) : 31 - max(dx, 0)
    ]
    assert moved.dtype == np.float32
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    np.testing.assert_array_equal(coverage(Motion(frame.shape, drift)), expected != 0)


def test_warping_there_and_back_gives_the_frame():
    frame = smooth_frame((70, 80))
    motion = Motion.from_parameters(frame.shape, drift=(2.3, -3.7), rotation=0.1, shear=0.02)
    back = warp(warp(frame, motion), motion.inverse())
    inside = ndimage.binary_erosion(
        coverage(motion) & coverage(motion.inverse()), iterations=6, border_value=0
    )
    np.testing.assert_allclose(back[inside], frame[inside], atol=0.02)


def test_fill_says_what_lies_outside():
    frame = smooth_frame((20, 20))
    motion = Motion(frame.shape, (0, 4))
    np.testing.assert_allclose(warp(frame, motion, fill=7)[:, :4], 7)
    edge = warp(frame, motion, fill="edge")[:, :4]
    np.testing.assert_allclose(edge, np.repeat(frame[:, :1], 4, axis=1), atol=1e-5)
    reflected = warp(frame, motion, fill="reflect")[:, :4]
    np.testing.assert_allclose(reflected, frame[:, 4:0:-1], atol=1e-5)


@pytest.mark.parametrize("fill", ["edge", "reflect", 0.0])
@pytest.mark.parametrize("drift", [(500, 0), (0.5, -0.5)])
def test_frames_stay_finite(fill, drift):
    for shape in ((1, 1), (1, 9), (9, 1), (8, 9)):
        motion = Motion.from_parameters(shape, drift=drift, rotation=1.0)
        assert np.isfinite(warp(np.ones(shape, "float32"), motion, fill=fill)).all()


@pytest.mark.parametrize("fill", ["wrap", np.nan, np.inf, None, True])
def test_bad_fill_is_refused(fill):
    with pytest.raises(ValueError, match=r"^fill must be"):
        warp(np.ones((3, 3), "float32"), Motion((3, 3)), fill=fill)


@given(motions())
def test_coverage_is_where_the_source_lies_inside(motion):
    height, width = motion.shape
    grid = np.indices(motion.shape).reshape(2, -1).T
    source = motion.to_skimage().inverse(grid[:, ::-1].astype(float))[:, ::-1]
    beyond = np.maximum(-source, source - [height - 1, width - 1]).max(axis=1)
    clear = np.abs(beyond) > 1e-5  # on the very border rounding decides
    np.testing.assert_array_equal(coverage(motion).ravel()[clear], (beyond < 0)[clear])


@given(motions(), st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_a_margin_leaves_out_the_borders_of_both_frames(motion, margin):
    height, width = motion.shape
    grid = np.indices(motion.shape).reshape(2, -1).T
    source = motion.to_skimage().inverse(grid[:, ::-1].astype(float))[:, ::-1]
    edge = np.array(margin), np.array([height - 1, width - 1]) - margin
    beyond = np.maximum(edge[0] - source, source - edge[1]).max(axis=1)
    own = np.maximum(edge[0] - grid, grid - edge[1]).max(axis=1) <= 0
    clear = np.abs(beyond) > 1e-5
    found = coverage(motion, margin=margin).ravel()
    np.testing.assert_array_equal(found[clear], ((beyond < 0) & own)[clear])


def test_motions_cannot_be_changed():
    drift = np.array([1.0, 2.0])
    motion = Motion((4, 5), drift)
    drift[0] = 9
    assert motion.drift.tolist() == [1, 2]
    with pytest.raises(FrozenInstanceError):
        motion.drift = drift
    with pytest.raises(ValueError, match="read-only"):
        motion.matrix[0, 0] = 2
    again = pickle.loads(pickle.dumps(motion))
    assert again.shape == motion.shape
    np.testing.assert_array_equal(again.drift, motion.drift)


@pytest.mark.parametrize(
    "bad",
    [
        {"drift": (1, 2, 3)},
        {"drift": (np.nan, 0)},
        {"drift": 1.0},
        {"matrix": np.ones(4)},
        {"matrix": [[np.inf, 0], [0, 1]]},
    ],
)
def test_bad_numbers_are_refused_by_name(bad):
    with pytest.raises(ValueError, match=f"^{next(iter(bad))} must be finite"):
        Motion((4, 5), **bad)


@pytest.mark.parametrize("bad", [{"scale": 0.0}, {"stretch": -1.0}])
def test_a_motion_has_a_way_back(bad):
    with pytest.raises(ValueError, match=r"^matrix must have an inverse"):
        Motion.from_parameters((4, 5), **bad)


def test_no_rotation_is_a_plain_zero():
    assert str(Motion((4, 5)).rotation) == "0.0"
