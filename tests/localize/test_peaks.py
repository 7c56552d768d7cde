"""The filter that finds atoms, its noise, and the estimate of sizes, compared with theory."""

import numpy as np
import pytest

from stemkit.localize._peaks import (
    Spots,
    atom_response,
    find_peaks,
    find_spots,
    guess_sigma,
    response_noise,
    typical_height,
    white_noise,
)

from .drawn_atoms import draw


def guessed(frames, significance):
    (spots,) = find_spots(frames, significance)
    return guess_sigma(spots)


def blobs(shape, places, amplitude, sigma):
    rows, columns = np.indices(shape)
    frame = np.zeros(shape)
    for (y, x), height, width in zip(
        places,
        np.broadcast_to(amplitude, len(places)),
        np.broadcast_to(sigma, len(places)),
        strict=True,
    ):
        frame += height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2))
    return frame


@pytest.mark.parametrize("sigma", [1.2, 2.0, 5.0])
def test_response_at_an_isolated_atom_is_its_amplitude(sigma):
    size = 2 * int(8 * sigma) + 1
    frame = blobs((size, size + 4), [(size // 2, size // 2)], 7.0, sigma)
    response = atom_response(frame, sigma)
    # For narrow atoms the sampled filter differs slightly from the derivative of a Gaussian.
    assert response[size // 2, size // 2] == pytest.approx(7, rel=0.03)
    assert np.unravel_index(response.argmax(), response.shape) == (size // 2, size // 2)


@pytest.mark.parametrize("sigma", [1.2, 3.0])
def test_a_background_with_a_slope_gives_no_response(sigma):
    y, x = np.indices((80, 90))
    response = atom_response(1000 + 3.0 * x - 2.0 * y, sigma)
    inner = response[20:-20, 20:-20]
    # The sum of the truncated filter is not exactly zero.
    assert np.abs(inner).max() < 3


@pytest.mark.parametrize("sigma", [1.5, 2.5, 6.0])
def test_noise_of_the_response_is_that_of_theory(sigma):
    # The integral of the squared Laplacian of a Gaussian is 1 / (2 pi width^6), by Parseval.
    width = 0.9 * sigma
    at_center = 2 * sigma**2 / (sigma**2 + width**2) ** 2
    expected = 1 / (np.sqrt(2 * np.pi) * width**3) / at_center
    assert response_noise(sigma) == pytest.approx(expected, rel=0.02)
    noise = np.random.default_rng(0).normal(size=(300, 300))
    assert atom_response(noise, sigma).std() == pytest.approx(response_noise(sigma), rel=0.06)


@pytest.mark.parametrize("sigma", [0.3, 1.5, 2.2])
def test_noise_of_the_response_includes_all_of_the_filter(sigma):
    impulse = np.zeros((101, 101))
    impulse[50, 50] = 1
    expected = np.sqrt((atom_response(impulse, sigma) ** 2).sum())
    assert response_noise(sigma) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(200, 200), (1, 40_000)])
@pytest.mark.parametrize("sigma", [1e-3, 4.0])
def test_white_noise_is_measured_on_frames_and_lines(shape, sigma):
    frame = np.random.default_rng(0).normal(0, sigma, shape)
    # The detail of neighbours is correlated: the median scatters by about 1 %.
    assert white_noise(frame) == pytest.approx(sigma, rel=0.03)
    assert white_noise(8 * frame) == pytest.approx(8 * white_noise(frame), rel=1e-12)


def test_a_smooth_field_adds_little_to_white_noise():
    y, x = np.indices((200, 200))
    field = 30 * np.sin(x / 20) + 2 * y
    noise = np.random.default_rng(0).normal(size=(200, 200))
    assert white_noise(noise + field) == pytest.approx(white_noise(noise), rel=0.01)


@pytest.mark.parametrize("value", [7.0, -7.0])
def test_a_frame_without_noise_has_that_of_single_precision(value):
    assert white_noise(np.full((9, 9), value)) == pytest.approx(7e-6)


def test_peaks_are_the_maxima_above_the_threshold_from_top_left_to_bottom_right():
    response = np.zeros((20, 30))
    heights = {(15, 3): 5.0, (2, 28): 5.0, (2, 4): 7.0, (0, 0): 6.0, (19, 29): 4.0, (9, 9): 1.0}
    for place, height in heights.items():
        response[place] = height
    expected = sorted(place for place, height in heights.items() if height > 2)
    assert [tuple(peak) for peak in find_peaks(response, 2.0)] == expected
    assert find_peaks(response, 10.0).shape == (0, 2)


def grid(size, spacing):
    first = np.arange(spacing / 2, size - spacing / 2 + 1, spacing)
    return np.stack(np.meshgrid(first, first), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("sigma", [1.1, 2.0, 4.0, 7.0])
@pytest.mark.parametrize("n_frames", [1, 3])
def test_the_size_of_isolated_atoms_is_guessed(sigma, n_frames):
    size = int(40 * sigma)
    clean = blobs((size, size), grid(size, 10 * sigma), 50.0, sigma)
    frames = clean + np.random.default_rng(0).normal(0, 1, (n_frames, size, size))
    found = guessed(frames.astype("f4"), 6.0)
    # The scales are a geometric series with steps below 22 %.
    assert found == pytest.approx(sigma, rel=0.15)


@pytest.mark.parametrize("sigma, is_atom", [(8.0, True), (14.0, True), (35.0, True), (60.0, False)])
def test_blobs_above_40_px_are_not_taken_for_atoms(sigma, is_atom):
    size = 384 if sigma < 30 else 640
    places = np.array([(80, 80), (170, 90), (120, 180)]) * size / 256
    clean = blobs((size, size), places, 50.0, sigma)
    frame = clean + np.random.default_rng(0).normal(0, 0.5, clean.shape)
    found = guessed(frame[None].astype("f4"), 6.0)
    assert (found is not None and found > 5) == is_atom


@pytest.mark.parametrize("shape", [(1, 12, 12), (1, 40, 6), (2, 3, 3)])
def test_the_size_is_at_most_an_eighth_of_the_frame(shape):
    _, height, width = shape
    frame = blobs((height, width), [(height / 2, width / 2)], 50.0, max(height, width) / 5)
    found = guessed(np.broadcast_to(frame, shape).astype("f4"), 6.0)
    assert found is None or found <= max(0.81, max(height, width) / 8)


def test_nothing_is_guessed_where_nothing_is_significant():
    noise = np.random.default_rng(0).normal(size=(1, 64, 64)).astype("f4")
    assert guessed(noise, 8.0) is None
    assert guessed(np.zeros((2, 32, 32), "f4"), 6.0) is None


@pytest.mark.parametrize("factor", [2.0**-20, 2.0**20])
def test_the_unit_of_the_frames_does_not_change_the_guess(factor):
    clean = blobs((80, 80), grid(80, 16), 50.0, 2.0)
    frames = (clean + np.random.default_rng(0).normal(size=(2, 80, 80))).astype("f4")
    assert guessed(frames * np.float32(factor), 6.0) == guessed(frames, 6.0)


def test_clusters_of_atoms_are_not_taken_for_large_atoms():
    rng = np.random.default_rng(0)
    ring = 5.0 * np.stack([np.sin(np.arange(6) * np.pi / 3), np.cos(np.arange(6) * np.pi / 3)], 1)
    centers = np.indices((4, 4)).reshape(2, -1).T * 64 + 32
    places = (centers[:, None] + np.concatenate([ring, [[0, 0]]])).reshape(-1, 2)
    frame = draw((256, 256), places, sigma=1.1) + rng.normal(0, 2, (256, 256))
    assert guessed(frame[None].astype("float32"), 6.0) < 1.7


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_dark_spots_are_the_bright_ones_of_the_negative(n_jobs):
    clean = blobs((360, 360), grid(360, 24), 50.0, 2.0) + blobs(
        (360, 360), [(100, 200)], 90.0, 14.0
    )
    frames = (clean + np.random.default_rng(0).normal(size=(2, 360, 360))).astype("f4")
    bright, dark = find_spots(frames, 6.0, n_jobs, signs=(1, -1))
    for sign, expected in ((-1, dark), (1, bright)):
        (found,) = find_spots(np.float32(sign) * frames, 6.0)
        for one, other in zip(found, expected, strict=True):
            assert len(one.scale) > 0
            for a, b in zip(one, other, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "shape, sigma",
    [((120, 96), 2.0), ((96, 120), 6.0), ((384, 331), 3.0), ((384, 331), 14.0), ((331, 384), 24.0)],
)
def test_places_sizes_and_heights_of_spots_are_those_of_gaussians(shape, sigma):
    # The scale-normalised Laplacian of a Gaussian is largest at its own width: half its height.
    places = np.array(shape) * [[0.3, 0.62]] + 0.3
    frame = blobs(shape, places, 60.0, sigma) + np.random.default_rng(0).normal(0, 0.3, shape)
    ((spots,),) = find_spots(frame[None].astype("f4"), 6.0)
    best = np.argmax(spots.height)
    np.testing.assert_allclose(spots.place[best], places[0], atol=0.6 + 0.1 * sigma)
    # The scales are a geometric series with steps below 22 %.
    assert spots.scale[best] == pytest.approx(sigma, rel=0.2)
    assert spots.height[best] == pytest.approx(30, rel=0.08)


def test_spots_have_the_least_significance_that_is_asked_for():
    # The standard deviation of the scale-normalised Laplacian of noise is sigma / (s sqrt(2 pi)).
    noise = np.random.default_rng(0).normal(0, 7, (200, 200))
    for least in (2.0, 2.5):
        ((spots,),) = find_spots(noise[None].astype("f4"), least)
        deviations = spots.height * spots.scale * np.sqrt(2 * np.pi) / 7
        assert deviations.min() == pytest.approx(least, rel=0.05)


@pytest.mark.parametrize("share, found", [(0.01, 1), (0.04, 2)])
def test_without_noise_spots_below_a_fiftieth_of_the_highest_are_left_out(share, found):
    frame = blobs((80, 90), [(30, 25), (50, 70)], [100.0, 100 * share], 3.0)
    ((spots,),) = find_spots(frame[None].astype("f4"), 6.0)
    near = [np.hypot(*(spots.place - place).T).min() < 2 for place in ((30, 25), (50, 70))]
    assert sum(near) == found


def spots_of(*atoms):
    """Return spots of (scale, height, y, x)."""
    columns = np.array(atoms, dtype=float)
    return Spots(columns[:, 0], columns[:, 1], columns[:, 2:])


def test_a_spot_that_contains_smaller_strong_ones_is_a_cluster():
    large, small = (4.0, 10.0, 20.0, 20.0), (1.0, 9.0, 21.0, 22.0)
    assert guess_sigma([spots_of(large, small)]) == 1
    # Those of another frame, or far away, or faint, are not in it.
    assert guess_sigma([spots_of(large), spots_of(small)]) == 4
    assert guess_sigma([spots_of(small), spots_of(large)]) == 4
    assert guess_sigma([spots_of(large, (1.0, 9.0, 26.0, 20.0))]) == 4
    assert guess_sigma([spots_of(large, (1.0, 5.0, 21.0, 22.0))]) == 4
    # One that is hardly smaller is an atom as well.
    assert guess_sigma([spots_of(large, (3.0, 9.0, 21.0, 22.0))]) == 3.5


def test_the_size_is_that_of_the_clearest_spots():
    # Height times scale decides: half of that of the clearest or more.
    many = [(2.0, 10.0, 10.0 * i, 0.0) for i in range(9)]
    grains = [(1.0, 9.0, 10.0 * i, 100.0) for i in range(30)]
    assert guess_sigma([spots_of(*many, *grains)]) == 2
    clear = [(1.0, 13.0, 10.0 * i, 100.0) for i in range(30)]
    assert guess_sigma([spots_of(*many, *clear)]) == 1


def test_the_typical_height_is_the_median_over_frames():
    spots = [spots_of((1.0, h, 0.0, 0.0), (1.0, 1.0, 9.0, 9.0)) for h in (2.0, 8.0, 30.0)]
    empty = Spots(np.empty(0), np.empty(0), np.empty((0, 2)))
    assert typical_height(spots) == pytest.approx(8 - 0.05 * 7)
    assert typical_height([*spots[:1], empty, empty]) == 0


@pytest.mark.parametrize("shape", [(331, 386), (386, 130)])
def test_the_border_of_a_bright_frame_that_is_not_divisible_by_four_is_no_spot(shape):
    frame = 1000 + np.random.default_rng(0).normal(size=shape)
    for found in find_spots(frame[None].astype("f4"), 6.0, signs=(1, -1)):
        assert len(found[0].scale) == 0
