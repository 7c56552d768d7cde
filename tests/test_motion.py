import pickle
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import transform

from stemkit.registration import Motion

from .motions import finite, motions, parameters, shapes

points = st.lists(st.tuples(finite(-80, 80), finite(-80, 80)), min_size=1, max_size=5).map(np.array)


@given(motions(), points)
def test_points_are_mapped_as_by_scikit_image(motion, points):
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
def test_points_move_on_straight_lines_in_time(motion, points, t):
    expected = (1 - t) * points + t * motion.apply(points)
    np.testing.assert_allclose(motion.at(t).apply(points), expected, atol=1e-9)


@given(shapes, parameters)
def test_parameters_are_read_back(shape, given_parameters):
    motion = Motion.from_parameters(shape, **given_parameters)
    np.testing.assert_array_equal(motion.drift, given_parameters["drift"])
    for name in ("rotation", "shear", "stretch", "scale"):
        assert getattr(motion, name) == pytest.approx(given_parameters[name], abs=1e-12), name


def test_scan_drift_changes_the_slow_axis_alone():
    # The specimen moves by (0.02, 0.01) px per scanned row.
    motion = Motion.from_parameters((101, 101), stretch=0.02, shear=0.01)
    np.testing.assert_allclose(motion.apply([[50, 0], [50, 100]]), [[50, 0], [50, 100]])
    np.testing.assert_allclose(motion.apply([[51, 50]]) - motion.apply([[50, 50]]), [[1.02, 0.01]])


def test_transform_is_euclidean_if_the_motion_is_rigid():
    rigid = Motion.from_parameters((20, 30), drift=(1, 2), rotation=0.3).to_skimage()
    assert isinstance(rigid, transform.EuclideanTransform)
    assert rigid.rotation == pytest.approx(-0.3)  # in (x, y) with y down
    sheared = Motion.from_parameters((20, 30), shear=0.01).to_skimage()
    assert type(sheared) is transform.AffineTransform


@given(motions(), points, st.integers(1, 8))
def test_rescaled_motion_moves_the_same_blocks(motion, points, binning):
    def block(p):  # coordinates in the binned frame, whose pixel edges coincide
        return (p + 0.5) / binning - 0.5

    small = tuple(max(n // binning, 1) for n in motion.shape)
    binned = motion.rescaled(1 / binning, small)
    assert binned.shape == small
    np.testing.assert_allclose(binned.apply(block(points)), block(motion.apply(points)), atol=1e-8)
    back = binned.rescaled(binning, motion.shape)
    np.testing.assert_allclose(back.drift, motion.drift, atol=1e-8)


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
def test_bad_numbers_are_errors_that_name_the_argument(bad):
    with pytest.raises(ValueError, match=f"^{next(iter(bad))} must be finite"):
        Motion((4, 5), **bad)


@pytest.mark.parametrize("bad", [{"scale": 0.0}, {"stretch": -1.0}])
def test_a_motion_without_inverse_is_an_error(bad):
    with pytest.raises(ValueError, match=r"^matrix must have an inverse"):
        Motion.from_parameters((4, 5), **bad)


def test_no_rotation_is_zero_without_a_sign():
    assert str(Motion((4, 5)).rotation) == "0.0"
