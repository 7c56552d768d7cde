import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage import transform

from stemkit._scene import Scene, render_columns
from stemkit.exceptions import OutOfViewWarning
from stemkit.registration import Motion, align_stack, coverage, warp
from stemkit.registration._warping import align

from ..motions import motions


def smooth_frame(shape, seed=0):
    noise = np.random.default_rng(seed).standard_normal(shape)
    frame = ndimage.gaussian_filter(noise, 3)
    return (frame / frame.std()).astype("float32")


def test_rotation_is_counter_clockwise_as_scikit_image_draws_it():
    frame = smooth_frame((60, 81))
    turned = warp(frame, Motion.from_parameters(frame.shape, rotation=np.deg2rad(12)))
    expected = transform.rotate(frame, 12, order=3, mode="edge", preserve_range=True)
    np.testing.assert_allclose(turned[8:-8, 8:-8], expected[8:-8, 8:-8], atol=0.01)
    assert np.abs(turned - frame)[8:-8, 8:-8].max() > 0.2


def test_binned_frames_show_the_rescaled_motion():
    # The last row and column do not fill a block, which shifts the centre.
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


def test_fill_sets_the_values_outside():
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
def test_bad_fill_is_an_error(fill):
    with pytest.raises(ValueError, match=r"^fill must be"):
        warp(np.ones((3, 3), "float32"), Motion((3, 3)), fill=fill)


@given(motions())
def test_coverage_is_where_the_source_lies_inside(motion):
    height, width = motion.shape
    grid = np.indices(motion.shape).reshape(2, -1).T
    source = motion.to_skimage().inverse(grid[:, ::-1].astype(float))[:, ::-1]
    beyond = np.maximum(-source, source - [height - 1, width - 1]).max(axis=1)
    clear = np.abs(beyond) > 1e-5  # exactly on the border, rounding decides
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


def test_align_stack_undoes_the_motions_and_masks_pixels_without_data():
    frame = smooth_frame((30, 40))
    motions = [Motion(frame.shape), Motion(frame.shape, (3, -5))]
    frames = np.stack([warp(frame, motion) for motion in motions])
    aligned = align_stack(frames, motions)
    assert aligned.mask[0].all()
    np.testing.assert_array_equal(aligned.mask[1], coverage(motions[1].inverse()))
    np.testing.assert_allclose(aligned[1][aligned.mask[1]], frame[aligned.mask[1]], atol=0.02)
    with pytest.raises(ValueError, match="2 frames and motions 1 motions"):
        align_stack(frames, motions[:1])


def test_frames_of_another_shape_are_named():
    with pytest.raises(ValueError, match=r"frame has shape \(3, 4\)"):
        warp(np.ones((3, 4), "float32"), Motion((4, 4)))
    with pytest.raises(ValueError, match="frame has 3 dimensions"):
        warp(np.ones((1, 3, 4), "float32"), Motion((3, 4)))


@pytest.mark.parametrize(
    "motion, margin, message",
    [
        (np.ones(3), (0, 0), "motion must be a Motion"),
        (Motion((8, 8)), 3, "margin must be 2 items, each an int of px"),
        (Motion((8, 8)), (1, -1), "margin must be 2 items"),
        (Motion((8, 8)), (1, 2.5), "margin must be 2 items"),
    ],
)
def test_coverage_names_a_bad_argument(motion, margin, message):
    with pytest.raises(ValueError, match=message):
        coverage(motion, margin=margin)


@pytest.mark.parametrize("motions", [None, 0.5, [3], []])
def test_a_stack_is_aligned_by_motions_alone(motions):
    with pytest.raises(ValueError, match="motions must be a sequence, each a Motion"):
        align_stack(np.ones((1, 8, 8)), motions)


def test_cubic_interpolation_is_the_default():
    frame = np.random.default_rng(0).normal(size=(12, 14)).astype("float32")
    motion = Motion((12, 14), drift=(0.3, -1.6))
    np.testing.assert_array_equal(warp(frame, motion), warp(frame, motion, order=3))
    assert not np.array_equal(warp(frame, motion), warp(frame, motion, order=4))


def test_a_bad_stack_is_named():
    with pytest.raises(ValueError, match=r"^frames contains? NaN"):
        align_stack(np.full((1, 8, 8), np.nan), [Motion((8, 8))])


def test_aligned_frames_are_mirrored_outside_the_overlap():
    frame = smooth_frame((24, 30))
    aligned, overlap = align(frame, Motion(frame.shape, (0, 5)))
    # Features that are 5 px to the right in the second frame are shifted back.
    np.testing.assert_allclose(aligned[:, :25], frame[:, 5:], atol=1e-5)
    np.testing.assert_allclose(aligned[:, 25:], frame[:, 28:23:-1], atol=1e-5)
    assert overlap[:, :25].all()
    assert not overlap[:, 25:].any()


@pytest.mark.parametrize("fill", ["edge", "reflect", 3.0])
def test_a_stack_is_filled_as_a_frame_is(fill):
    frames = np.stack([smooth_frame((12, 14), seed) for seed in (0, 1)])
    motions = [Motion((12, 14)), Motion((12, 14), (2, -3))]
    aligned = align_stack(frames, motions, fill=fill)
    for one, frame, motion in zip(aligned, frames, motions, strict=True):
        np.testing.assert_array_equal(one, warp(frame, motion.inverse(), fill=fill))
    np.testing.assert_array_equal(
        align_stack(frames, motions), align_stack(frames, motions, fill="edge")
    )


def test_a_canvas_holds_all_frames_or_what_they_share():
    shape = (30, 40)
    frame = smooth_frame(shape)
    motions = [Motion(shape), Motion(shape, (3, -5)), Motion(shape, (-4, 6))]
    frames = np.stack([warp(frame, motion) for motion in motions])
    first = align_stack(frames, motions)
    union = align_stack(frames, motions, canvas="union")
    assert union.shape == (3, 37, 51)
    assert union.origin == (-3, -6)
    assert union.mask.sum() == 3 * 30 * 40
    np.testing.assert_allclose(union[:, 3:33, 6:46], first, atol=1e-5)
    common = align_stack(frames, motions, canvas="common")
    assert common.origin == (4, 5)
    assert common.mask.all()
    np.testing.assert_allclose(common, first[:, 4:27, 5:34], atol=1e-5)
    filled = align_stack(frames, motions, canvas="union", fill=-7.0)
    assert (np.asarray(filled)[~filled.mask] == -7).all()


def test_frames_that_show_nothing_of_the_first_are_named():
    shape = (20, 24)
    motions = [Motion(shape, (0, 15 * i)) for i in range(4)]
    frames = np.ones((4, *shape), "float32")
    with pytest.warns(OutOfViewWarning, match=r'Frames \[2, 3\] show nothing.*canvas="union"'):
        assert not align_stack(frames, motions).mask[2:].any()
    assert align_stack(frames, motions, canvas="union").mask.any(axis=(1, 2)).all()
