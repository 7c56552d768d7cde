from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle
from matplotlib.quiver import Quiver

from stemkit.datasets import make_drift_pairs
from stemkit.drift import Motion, coverage
from stemkit.inspection import DriftDecayDisplay
from stemkit.inspection._images import grey_levels, nice_length, overlay
from stemkit.io import FrameStack

SHAPE = (96, 128)


@pytest.fixture(scope="module")
def data():
    return make_drift_pairs(1, shape=SHAPE, dose=None, row_jitter=0, random_state=1)


def make_display(data, motion=None, **options):
    motion = data.motion[0] if motion is None else motion
    return DriftDecayDisplay(data.pairs[0], motion, 1 - data.decay[0], 0.87, **options).plot()


def scale_bars(ax):
    return [p for p in ax.patches if isinstance(p, Rectangle) and p.get_facecolor()[0] == 1]


def test_panels_show_the_frames_the_overlay_and_the_damage(data):
    display = make_display(data)
    first, second, both, damage = (ax.images[0] for ax in display.ax_)
    np.testing.assert_array_equal(first.get_array(), data.pairs[0, 0])
    np.testing.assert_array_equal(second.get_array(), data.pairs[0, 1])
    assert first.get_clim() == second.get_clim()  # otherwise the decay would not be visible
    assert both.get_array().shape == (*SHAPE, 3)
    # The map shows damage where the frames overlap.
    overlap = coverage(data.motion[0].inverse())
    assert 0.3 < overlap.mean() < 1
    np.testing.assert_array_equal(damage.get_array().mask, ~overlap)
    np.testing.assert_array_equal(damage.get_array()[overlap], (1 - data.decay[0])[overlap])
    assert damage.get_clim() == (0, 1)
    for image in (first, second, both, damage):
        # Row 0 is on top and pixels are square.
        assert image.get_extent() == [-0.5, SHAPE[1] - 0.5, SHAPE[0] - 0.5, -0.5]
        assert image.axes.get_aspect() == 1


@pytest.mark.parametrize("t", [0.5, 1.0])
def test_damage_that_cannot_be_told_is_grey(data, t):
    stderr = np.full(SHAPE, t * 0.05)
    stderr[:, :40] = t * 0.28
    display = make_display(data, stderr=stderr, t=t)
    overlap = coverage(data.motion[0].inverse())
    mask = display.ax_[3].images[0].get_array().mask
    assert mask[:, :40].all()
    np.testing.assert_array_equal(mask[:, 40:], ~overlap[:, 40:])
    assert "unknown" not in display.ax_[3].get_title()
    nothing = make_display(data, stderr=np.full(SHAPE, t * 0.28), t=t)
    assert "unknown: no structure shows it" in nothing.ax_[3].get_title()


def test_titles_contain_drift_rotation_and_confidence(data):
    display = make_display(data, Motion.from_parameters(SHAPE, drift=(1.26, -3), rotation=-1e-9))
    titles = [ax.get_title() for ax in display.ax_]
    assert "(1.3, -3.0) px" in titles[1]
    assert "rotation 0.00°" in titles[1]
    assert "0.87" in titles[2]


def test_overlay_is_grey_where_the_frames_agree_and_coloured_where_not(data):
    first, second = data.clean[0]
    everywhere = np.ones(SHAPE, dtype=bool)

    def tint(image):
        return np.abs(image[..., 0] - image[..., 1]).mean()

    assert tint(overlay(first, first, everywhere)) == 0
    # Neither brightness nor slowly varying decay colours the overlay.
    ramp = np.linspace(1, 0.5, SHAPE[1], dtype=np.float32)
    assert tint(overlay(first, 100 + 7 * first * ramp, everywhere)) < 0.03
    right = make_display(data).ax_[2].images[0].get_array()
    overlap = coverage(data.motion[0].inverse())
    wrong = overlay(first, second, everywhere)
    assert tint(right[overlap]) < 0.5 * tint(wrong[overlap])
    assert (right[~overlap][:, 1] == 0).all()


@pytest.mark.parametrize("drift, magnified", [((8, -12), False), ((0.4, 0.3), True)])
def test_arrows_point_from_earlier_to_later_positions(data, drift, magnified):
    display = make_display(data, Motion(SHAPE, drift))
    (arrows,) = [c for c in display.ax_[1].collections if isinstance(c, Quiver)]
    factor = arrows.V[0] / drift[0]
    np.testing.assert_allclose(arrows.V, factor * drift[0])
    np.testing.assert_allclose(arrows.U, factor * drift[1])
    note = display.ax_[1].get_xlabel()
    if magnified:
        assert f"{factor:g} times" in note
    else:
        assert factor == pytest.approx(1)
        assert note == ""
    assert display.ax_[1].get_xlim() == (-0.5, SHAPE[1] - 0.5)


def test_frames_that_did_not_move_have_no_arrows(data):
    display = make_display(data, Motion(SHAPE))
    assert not [c for c in display.ax_[1].collections if isinstance(c, Quiver)]


def test_scale_bar_has_the_length_of_its_label(data):
    assert not any(scale_bars(ax) for ax in make_display(data).ax_)
    display = make_display(data, pixel_size=0.03)
    for ax in display.ax_:
        (bar,) = scale_bars(ax)
        label = ax.texts[-1].get_text()
        assert label == "1 nm"
        assert bar.get_width() * 0.03 == pytest.approx(1)
    assert make_display(data, pixel_size=80.0).ax_[0].texts[-1].get_text() == "2 µm"


def test_frames_with_a_pixel_size_have_scale_bars(data):
    pair = FrameStack(data.pairs[0], 0.03)
    display = DriftDecayDisplay(pair, data.motion[0], 1 - data.decay[0], 1.0).plot()
    assert display.pixel_size == 0.03
    assert all(len(scale_bars(ax)) == 1 for ax in display.ax_)


@given(st.floats(1e-6, 1e6))
def test_nice_length_is_round_and_at_most_2_5_times_shorter(longest):
    length = nice_length(longest)
    assert longest / 2.51 < length <= longest * (1 + 1e-6)
    assert f"{length:.0e}"[0] in "125"


def test_grey_levels_of_frames_with_a_bright_pixel_and_of_constant_frames():
    frame = np.random.default_rng(0).poisson(5, (200, 200)).astype(np.float32)
    low, high = grey_levels(frame)
    frame[3, 5] = 1e6
    assert grey_levels(frame) == pytest.approx((low, high), rel=0.05)
    low, high = grey_levels(np.zeros((4, 4), np.float32))
    assert low < 0 < high


@pytest.mark.parametrize("shape", [(1, 1), (7, 200), (64, 64)])
@pytest.mark.parametrize("drift", [(0, 0), (500, 500)])
def test_any_shape_constant_frames_and_no_overlap_can_be_drawn(shape, drift):
    display = DriftDecayDisplay(
        np.ones((2, *shape)), Motion(shape, drift), np.zeros(shape), 0.0, pixel_size=0.1
    ).plot()
    display.figure_.canvas.draw()
    if any(drift):
        assert "unknown" in display.ax_[3].get_title()


def test_constructors_take_results_of_predict_and_existing_axes(data):
    def predict(pair, t):
        damage = t * (1 - data.decay[0])
        return SimpleNamespace(
            motion=data.motion[0], damage=damage, confidence=0.5, t=t, decay_stderr=0.1 * damage
        )

    state = predict(data.pairs[0], 0.5)
    model = SimpleNamespace(predict=predict)
    figure, axes = plt.subplots(1, 4)
    for display in (
        DriftDecayDisplay.from_predictions(data.pairs[0], state, pixel_size=0.1),
        DriftDecayDisplay.from_estimator(model, data.pairs[0], 0.5, pixel_size=0.1),
    ):
        assert display.motion is state.motion
        np.testing.assert_array_equal(display.damage, state.damage)
        np.testing.assert_array_equal(display.stderr, state.decay_stderr)
        assert "t = 0.5" in display.ax_[3].get_title()
        assert display.pixel_size == 0.1
        assert display.plot(axes) is display
        assert display.figure_ is figure
    with pytest.raises(ValueError, match=r"ax must hold four Axes.* 1"):
        display.plot(axes[0])
    with pytest.raises(ValueError, match=r"ax must hold four Axes.* 0"):
        display.plot("abcd")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"damage": np.zeros((3, 3))}, r"^damage is for frames of shape \(3, 3\)"),
        ({"stderr": np.zeros((3, 3))}, r"^stderr is for frames of shape \(3, 3\)"),
        ({"motion": Motion((9, 9))}, r"^motion is for frames of shape \(9, 9\)"),
        ({"pixel_size": 0}, "^pixel_size must be a finite number of nm above 0"),
        ({"pixel_size": "1 nm"}, "^pixel_size must be a finite number"),
        ({"pixel_size": np.nan}, "^pixel_size must be a finite number of nm above 0"),
    ],
)
def test_errors_name_the_argument_that_does_not_fit(changes, message):
    fitting = {"motion": Motion((8, 6)), "damage": np.zeros((8, 6)), "confidence": 1.0}
    with pytest.raises(ValueError, match=message):
        DriftDecayDisplay(np.ones((2, 8, 6)), **fitting | changes)
