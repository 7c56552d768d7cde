import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemkit._scene import Scene, frame_coordinates, render_columns, render_film
from stemkit.drift import Motion

SHAPE = (48, 57)
MOTION = Motion.from_parameters(SHAPE, drift=(3.2, -4.7), rotation=0.2, shear=0.03, stretch=-0.02)
# The cutoff of columns is at exp(-8) of their peak.
CUT = np.exp(-8)


def one(y, x, amplitude=1.0, sigma=2.0):
    return Scene(*np.array([[y], [x], [amplitude], [sigma]], dtype=float))


def many(n, seed=0, sigma=None):
    rng = np.random.default_rng(seed)
    width = rng.uniform(1, 4, n) if sigma is None else np.full(n, sigma)
    return Scene(rng.uniform(-10, 60, n), rng.uniform(-10, 70, n), rng.uniform(0.2, 1, n), width)


def closed_form(scene, shape, row_shift=None):
    y, x = np.indices(shape)
    shift = np.zeros(shape[0]) if row_shift is None else row_shift
    total = np.zeros(shape)
    for py, px, amplitude, sigma in zip(
        scene.y, scene.x, scene.amplitude, scene.sigma, strict=True
    ):
        square = (y - py) ** 2 + (x - px - shift[:, None]) ** 2
        total += amplitude * np.exp(-square / (2 * sigma**2))
    return total


@given(
    st.floats(-12, 60),
    st.floats(-12, 70),
    st.floats(0.1, 10),
    st.floats(0.5, 5),
)
def test_a_column_is_a_gaussian_at_any_position(y, x, amplitude, sigma):
    scene = one(y, x, amplitude, sigma)
    frame = render_columns(scene, SHAPE)
    assert frame.dtype == np.float32
    np.testing.assert_allclose(frame, closed_form(scene, SHAPE), atol=1.01 * CUT * amplitude)


def test_moments_of_a_column():
    y, x, amplitude, sigma = 21.3, 30.8, 0.7, 2.5
    frame = render_columns(one(y, x, amplitude, sigma), SHAPE).astype(float)
    total = frame.sum()
    assert total == pytest.approx(2 * np.pi * sigma**2 * amplitude, rel=2e-3)
    rows, columns = np.indices(SHAPE)
    assert (frame * rows).sum() / total == pytest.approx(y, abs=2e-3)
    assert (frame * columns).sum() / total == pytest.approx(x, abs=2e-3)
    assert (frame * (rows - y) ** 2).sum() / total == pytest.approx(sigma**2, rel=0.01)
    assert (frame * (columns - x) ** 2).sum() / total == pytest.approx(sigma**2, rel=0.01)


@pytest.mark.parametrize("n, sigma", [(300, None), (5000, 1.5)])
def test_columns_add_up(n, sigma):
    scene = many(n, sigma=sigma)
    np.testing.assert_allclose(
        render_columns(scene, SHAPE), closed_form(scene, SHAPE), atol=n**0.5 * CUT
    )


def test_nothing_gives_a_dark_frame():
    empty = Scene(*np.empty((4, 0)))
    for scene in (empty, one(-100, 20), one(20, 200)):
        for draw in (render_columns, render_film):
            frame = draw(scene, SHAPE)
            assert frame.shape == SHAPE
            assert not frame.any()


@pytest.mark.parametrize("place", [(24, 28), (10.4, 40.1), (33.7, 12.2)])
def test_a_column_moves_by_the_motion(place):
    frame = render_columns(one(*place), SHAPE, motion=MOTION).astype(float)
    rows, columns = np.indices(SHAPE)
    center = [(frame * rows).sum() / frame.sum(), (frame * columns).sum() / frame.sum()]
    np.testing.assert_allclose(center, MOTION.apply([place])[0], atol=2e-3)


def test_columns_enter_from_outside_the_first_frame():
    outside = one(20, -9.5)
    assert render_columns(outside, SHAPE).max() < CUT
    frame = render_columns(outside, SHAPE, motion=Motion(SHAPE, (0, 15.5)))
    assert frame[20, 6] == pytest.approx(1)


def test_each_row_is_shifted_by_its_own_distance():
    scene = many(60)
    shift = np.random.default_rng(1).normal(0, 3, SHAPE[0])
    frame = render_columns(scene, SHAPE, row_shift=shift)
    np.testing.assert_allclose(frame, closed_form(scene, SHAPE, shift), atol=60 * CUT)
    still = render_columns(scene, SHAPE)
    whole = np.zeros(SHAPE[0])
    whole[7], whole[30] = 5, -4
    moved = render_columns(scene, SHAPE, row_shift=whole)
    np.testing.assert_allclose(moved[7, 5:], still[7, :-5], atol=5 * CUT)
    np.testing.assert_allclose(moved[30, :-4], still[30, 4:], atol=5 * CUT)
    others = whole == 0
    np.testing.assert_allclose(moved[others], still[others], atol=5 * CUT)


def test_rows_are_shifted_after_the_specimen_has_moved():
    scene, shift = many(40), np.random.default_rng(2).normal(0, 2, SHAPE[0])
    moved = MOTION.apply(np.stack([scene.y, scene.x], axis=1))
    lying = Scene(moved[:, 0], moved[:, 1], scene.amplitude, scene.sigma)
    np.testing.assert_allclose(
        render_columns(scene, SHAPE, motion=MOTION, row_shift=shift),
        closed_form(lying, SHAPE, shift),
        atol=40 * CUT,
    )


def film(n=5):
    rng = np.random.default_rng(4)
    waves = np.column_stack(
        [rng.normal(0, 0.1, (n, 2)), rng.uniform(0, 2 * np.pi, n), rng.uniform(0.5, 1, n)]
    )
    return Scene(*np.empty((4, 0)), waves=waves)


@pytest.mark.parametrize("motion", [None, MOTION])
def test_the_film_is_the_sum_of_its_moved_waves(motion):
    scene = film()
    y, x = np.indices(SHAPE).astype(float)
    if motion is not None:
        there = np.stack([y.ravel(), x.ravel()], axis=1)
        y, x = motion.inverse().apply(there).T.reshape(2, *SHAPE)
    expected = sum(a * np.cos(ky * y + kx * x + phase) for ky, kx, phase, a in scene.waves)
    np.testing.assert_allclose(render_film(scene, SHAPE, motion=motion), expected, atol=1e-5)


@pytest.mark.parametrize("motion", [None, MOTION])
@pytest.mark.parametrize("jittered", [False, True])
def test_coordinates_are_those_of_each_pixel_before_the_motion(motion, jittered):
    shift = np.random.default_rng(5).normal(0, 2, SHAPE[0]) if jittered else None
    y, x = frame_coordinates(SHAPE, motion=motion, row_shift=shift)
    assert y.shape == x.shape == SHAPE
    places = np.stack([y.ravel(), x.ravel()], axis=1)
    seen = places if motion is None else motion.apply(places)
    rows, columns = seen.T.reshape(2, *SHAPE)
    expected = np.indices(SHAPE).astype(float)
    if jittered:
        columns = columns + shift[:, None]
    np.testing.assert_allclose([rows, columns], expected, atol=1e-9)


def test_rendering_does_not_change_the_scene():
    scene = many(20)
    before = [values.copy() for values in (scene.y, scene.x, scene.amplitude, scene.sigma)]
    render_columns(scene, SHAPE, motion=MOTION, row_shift=np.ones(SHAPE[0]))
    for old, new in zip(before, (scene.y, scene.x, scene.amplitude, scene.sigma), strict=True):
        np.testing.assert_array_equal(old, new)
