"""Scale bars: their length, their label, oblong pixels, and that they are seen on any image."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemkit.inspection._scale_bar import add_scale_bar, choose_pixel_size, round_length
from stemkit.io import FrameStack


def draw(shape=(64, 64), pixel_size=0.02, grey=0.5):
    figure, ax = plt.subplots(figsize=(4, 4))
    ax.imshow(np.full(shape, grey), cmap="gray", vmin=0, vmax=1)
    add_scale_bar(ax, pixel_size)
    return figure, ax


@given(st.floats(1e-6, 1e6))
def test_lengths_are_round_and_near(length):
    found = round_length(length)
    assert f"{found:.0e}"[0] in "125"
    assert 1 / 1.6 < found / length < 1.6


@pytest.mark.parametrize("pixel_size", [1e-4, 0.013, 0.02, 0.7, 33.0, (0.5, 0.02), (0.02, 0.5)])
def test_a_bar_is_as_long_as_its_label_says_and_about_a_fifth_of_the_width(pixel_size):
    _, ax = draw((50, 100), pixel_size)
    (bar,), (text,) = ax.patches, ax.texts
    number, unit = text.get_text().split()
    length = float(number) * {"nm": 1, "µm": 1000}[unit]
    side_y, side_x = np.broadcast_to(pixel_size, 2)
    assert bar.get_width() * side_x == pytest.approx(length)
    assert 0.12 < bar.get_width() / 100 < 0.32
    assert ax.get_aspect() == pytest.approx(side_y / side_x)


@pytest.mark.parametrize("shape", [(64, 64), (40, 300), (300, 60)])
def test_bar_and_label_lie_within_the_image(shape):
    figure, ax = draw(shape)
    figure.canvas.draw()
    frame = ax.get_window_extent()
    for artist in (*ax.patches, *ax.texts):
        extent = artist.get_window_extent()
        assert frame.x0 <= extent.x0
        assert extent.x1 <= frame.x1
        assert frame.y0 <= extent.y0
        assert extent.y1 <= frame.y1


@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_bar_and_label_are_seen_on_any_image(grey):
    figure, ax = draw(grey=grey)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[::-1, :, 0] / 255
    for artist in (*ax.patches, *ax.texts):
        x0, y0, x1, y1 = np.rint(artist.get_window_extent().extents).astype(int)
        seen = pixels[y0 - 1 : y1 + 1, x0 - 1 : x1 + 1]
        assert (seen > 0.9).any()
        assert (seen < 0.35).any()


def test_the_size_of_the_user_goes_before_that_of_the_frames():
    stack = FrameStack(np.zeros((1, 2, 3)), 0.02)
    assert choose_pixel_size(None, stack) == 0.02
    assert choose_pixel_size(0.5, stack) == 0.5
    assert choose_pixel_size((0.5, 0.2), stack) == (0.5, 0.2)
    assert choose_pixel_size(None, np.zeros((2, 3))) is None


@pytest.mark.parametrize("pixel_size", [0, -1, np.nan, "1 nm", (1, 0), (1, 2, 3), ()])
def test_wrong_sizes_are_named(pixel_size):
    with pytest.raises(ValueError, match=r"^pixel_size must be"):
        choose_pixel_size(pixel_size, None)
