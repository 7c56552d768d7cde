import numpy as np
import pytest
from scipy import ndimage

from stemkit.registration._row_resampling import Canvas, straighten, turn
from tests.registration.scanned_series import scan

SHAPE = (60, 70)


def smooth_image(seed=0, shape=SHAPE):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 3) * 10


def test_a_frame_that_did_not_move_is_left_as_it_is():
    image = smooth_image()
    straight, mask = straighten(image, np.zeros((60, 2)), Canvas(SHAPE, (0, 0)))
    assert mask.all()
    np.testing.assert_allclose(straight, image, atol=2e-3)


def test_displaced_rows_are_put_back_where_they_were():
    image = smooth_image(shape=(120, 130))
    rows = np.arange(60)
    path = np.stack([2 * np.sin(rows / 9), 0.1 * rows + np.sin(rows)], -1)
    frame = scan(image, SHAPE, path)
    straight, mask = straighten(frame, path, Canvas(SHAPE, (0, 0)))
    true = scan(image, SHAPE, np.zeros((60, 2)))
    inner = ndimage.binary_erosion(mask, iterations=4)
    assert inner.mean() > 0.6
    assert np.abs(straight - true)[inner].max() < 0.03 * image.std()


def test_the_mask_leaves_out_what_the_frame_does_not_show():
    path = np.tile([5.0, -7.0], (60, 1))
    straight, mask = straighten(np.ones(SHAPE), path, Canvas(SHAPE, (10, 12)))
    expected = np.zeros((80, 94), bool)
    # A displacement of 5 rows shows the specimen 5 rows further up.
    expected[10 - 5 : 70 - 5, 12 + 7 : 82 + 7] = True
    assert np.array_equal(mask, expected)
    np.testing.assert_allclose(straight[mask], 1, atol=1e-3)
    assert (straight[~mask] == 0).all()


def test_rows_out_of_order_are_fitted():
    image = smooth_image()
    jitter = np.random.default_rng(1).normal(0, 0.7, 60)
    path = np.stack([jitter, np.zeros(60)], -1)
    frame = ndimage.map_coordinates(
        image,
        np.stack(np.broadcast_arrays(np.arange(60.0)[:, None] - path[:, :1], np.arange(70.0))),
    )
    straight, mask = straighten(frame, path, Canvas(SHAPE, (0, 0)))
    inner = mask.copy()
    inner[:4] = inner[-4:] = False
    assert np.abs(straight - image)[inner].max() < 0.1 * image.std()


def test_pixels_that_hold_no_data_spread_to_their_neighbours_alone():
    use = np.ones(SHAPE, bool)
    use[20, 30] = False
    _, mask = straighten(np.ones(SHAPE), np.full((60, 2), 0.5), Canvas(SHAPE, (0, 0)), use=use)
    lacking = ~mask
    lacking[-1] = lacking[:, -1] = False
    assert 0 < lacking.sum() <= 4
    assert np.abs(np.argwhere(lacking) - (20, 30)).max() <= 1


@pytest.mark.parametrize("degrees", [0, 90, 180, 270, 30])
def test_turning_back_gives_the_image_again(degrees):
    image = smooth_image(shape=(61, 61))
    back = turn(turn(image, degrees), -degrees)
    y, x = np.indices(image.shape) - 30
    inner = np.hypot(y, x) < 25
    np.testing.assert_allclose(back[inner], image[inner], atol=0.02)


def test_a_direction_turned_counter_clockwise_shows_the_specimen_turned_clockwise():
    image = np.zeros((5, 5))
    image[0, 2] = 1  # at the top
    assert np.argwhere(turn(image, 90)).tolist() == [[2, 4]]  # at the right
    np.testing.assert_allclose(
        turn(image, 90), scan(image, (5, 5), np.zeros((5, 2)), 90), atol=1e-6
    )
