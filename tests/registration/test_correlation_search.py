import itertools

import numpy as np
import pytest
from scipy import ndimage

from stemkit.registration import Motion
from stemkit.registration._correlation_search import (
    _vertex,
    _window,
    border,
    search,
    weigh_frequencies,
)
from stemkit.registration._warping import warp


def test_the_search_equals_direct_sums():
    rng = np.random.default_rng(2)
    first, second = ndimage.gaussian_filter(rng.normal(size=(2, 24, 20)), (0, 1, 1))
    # The search applies a window that decreases to the borders; here the borders are 0.
    rows, columns = border(first.shape)
    for frame in (first, second):
        frame[:rows] = frame[-rows:] = frame[:, :columns] = frame[:, -columns:] = 0
    (peak, *_) = search(
        first.astype(np.float32),
        second.astype(np.float32),
        rotations=np.zeros(1),
        max_drift=0.4,
        n_peaks=1,
    )
    best = {}
    for dy in range(-9, 10):
        for dx in range(-8, 9):
            a = first[max(0, -dy) : 24 - max(0, dy), max(0, -dx) : 20 - max(0, dx)]
            b = second[max(0, dy) : 24 + min(0, dy), max(0, dx) : 20 + min(0, dx)]
            best[dy, dx] = (a * b).sum() / np.sqrt(a.size / first.size)
    expected = max(best, key=best.get)
    assert np.rint(peak.motion.drift).astype(int).tolist() == list(expected)
    mean_square = np.sqrt(np.mean(np.square(list(best.values()))))
    assert peak.height == pytest.approx(best[expected] / mean_square, rel=1e-4)


def test_frequencies_of_pure_noise_get_little_weight():
    rng = np.random.default_rng(3)
    scene = ndimage.gaussian_filter(rng.normal(size=(128, 128)), 4)
    noisy = scene / scene.std() + rng.normal(size=(128, 128))
    weighted = weigh_frequencies(noisy.astype(np.float32), 0.0)
    high = [f - ndimage.gaussian_filter(f, 12.8) for f in (scene, noisy)]
    before, after = (np.corrcoef(high[0].ravel(), f.ravel())[0, 1] for f in (high[1], weighted))
    assert after > before + 0.1


@pytest.mark.parametrize("offset", [-0.4, 0.0, 0.3])
def test_the_vertex_of_a_parabola_is_found_between_its_samples(offset):
    x = np.arange(5)
    assert _vertex(7 - 2.5 * (x - 2 - offset) ** 2, 2) == pytest.approx(offset)
    # There is no vertex at the border, on a straight line or at a minimum.
    assert _vertex(7 - 2.5 * (x - offset) ** 2, 0) == 0
    assert _vertex(7 - 2.5 * (x - 4 - offset) ** 2, 4) == 0
    assert _vertex(2.0 * x, 2) == 0
    assert _vertex((x - 2 - offset) ** 2, 2) == 0


@pytest.mark.parametrize("shape, rim", [((30, 41), (6, 9)), ((13, 16), (2, 4))])
def test_windows_fade_in_so_that_a_window_and_its_mirror_image_add_up_to_one(shape, rim):
    window = _window(shape, rim)
    assert window.shape == shape
    np.testing.assert_allclose(window, window[::-1, ::-1])
    for side, width in zip((window[:, shape[1] // 2], window[shape[0] // 2]), rim, strict=True):
        np.testing.assert_allclose(side[:width] + side[:width][::-1], 1, atol=1e-6)
        np.testing.assert_allclose(side[width:-width], 1)
        assert (np.diff(side[:width]) > 0).all()


def test_the_border_is_a_few_px_and_never_more_than_a_tenth_of_the_frame():
    assert border((1000, 30)) == (4, 3)
    assert border((5, 12)) == (1, 1)


def textured(shape=(90, 70), seed=0):
    noise = np.random.default_rng(seed).normal(size=shape)
    return (ndimage.gaussian_filter(noise, 2) + 0.02 * noise + 3).astype(np.float32)


@pytest.mark.parametrize("unexplained", [0.0, 1.0])
def test_weighted_frames_are_neither_moved_nor_dependent_on_the_unit(unexplained):
    frame = textured()
    weighted = weigh_frequencies(frame, unexplained)
    assert weighted.shape == frame.shape
    assert np.mean(weighted**2) == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(weigh_frequencies(50 * frame, unexplained), weighted, atol=0.01)
    for flip in (np.flipud, np.fliplr):
        flipped = weigh_frequencies(np.ascontiguousarray(flip(frame)), unexplained)
        np.testing.assert_allclose(flip(flipped), weighted, atol=0.01)


@pytest.mark.parametrize("value", [0.0, 0.1, 1000.7])
def test_constant_frames_are_weighted_to_zero(value):
    np.testing.assert_array_equal(weigh_frequencies(np.full((40, 50), value, "float32"), 0.0), 0)


def test_noise_proportional_to_the_signal_limits_the_weight_of_a_lattice():
    x = np.arange(128)
    lattice = 3 * np.sin(2 * np.pi * x / 8) + 0 * x[:, None]
    scene = textured((128, 128)) - 3
    frame = (lattice + scene / scene.std()).astype(np.float32)

    def share(unexplained):
        return np.corrcoef(weigh_frequencies(frame, unexplained).ravel(), lattice.ravel())[0, 1]

    assert share(1.0) < 0.8 * share(0.0)


@pytest.mark.parametrize("degrees", [-4.0, 0.0, 4.0])
def test_the_search_finds_the_rotation_with_its_sign(degrees):
    frame = textured((120, 110)) - 3
    expected = Motion.from_parameters(frame.shape, drift=(7, -12), rotation=np.deg2rad(degrees))
    moved = warp(frame, expected)
    peaks = search(frame, moved, rotations=np.deg2rad([-4.0, 0.0, 4.0]), max_drift=0.2, n_peaks=5)
    heights = [peak.height for peak in peaks]
    assert len(heights) == 5
    assert heights == sorted(heights, reverse=True)
    np.testing.assert_allclose(peaks[0].motion.drift, expected.drift, atol=0.5)
    assert peaks[0].motion.rotation == pytest.approx(expected.rotation)


def test_the_search_ends_at_the_largest_drift():
    frame = textured((60, 80)) - 3
    moved = warp(frame, Motion(frame.shape, (0, 20)))
    for max_drift, found in ((0.2, False), (0.25, True)):
        peaks = search(frame, moved, rotations=np.zeros(1), max_drift=max_drift, n_peaks=50)
        drifts = np.array([peak.motion.drift for peak in peaks])
        assert (np.abs(drifts) <= max_drift * np.array([60, 80]) + 0.5).all()
        assert (np.hypot(*(drifts[0] - (0, 20))) < 1) == found


def test_a_pattern_along_the_border_is_not_searched_for():
    rows = np.random.default_rng(5).normal(size=(2, 100))
    frame = textured((90, 100)) - 3
    first, second = frame, warp(frame, Motion(frame.shape, (7, 12)))
    for one in (first, second):
        one /= one.std()
        one[[0, -1]] = 20 * rows
    peaks = search(first, second, rotations=np.zeros(1), max_drift=0.3, n_peaks=1)
    np.testing.assert_allclose(peaks[0].motion.drift, (7, 12), atol=0.5)


def test_heights_do_not_depend_on_how_many_rotations_are_tried():
    first, second = textured() - 3, textured(seed=1) - 3
    one, three = (
        search(first, second, rotations=np.zeros(n), max_drift=0.3, n_peaks=1)[0] for n in (1, 3)
    )
    assert three.height == pytest.approx(one.height, rel=1e-5)


def ring_powers(frame, edges):
    power = np.abs(np.fft.rfft2(frame)) ** 2
    frequency = np.hypot(np.fft.fftfreq(frame.shape[0])[:, None], np.fft.rfftfreq(frame.shape[1]))
    return np.array(
        [
            power[(low <= frequency) & (frequency < high)].mean()
            for low, high in itertools.pairwise(edges)
        ]
    )


@pytest.mark.parametrize("unexplained", [0.0, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_weights_of_frequencies_are_those_of_theory(noise, unexplained):
    # Knapp and Carter: the variance of a delay is least with the weight S / (N (N + 2 S)) of the
    # product of both spectra, for signal S and noise N.
    rng = np.random.default_rng(0)
    sigma, side = 2.0, 320
    scene = ndimage.gaussian_filter(rng.normal(size=(side, side)), sigma, mode="wrap")
    scene /= scene.std()
    frame = (scene + noise * rng.normal(size=scene.shape)).astype(np.float32)
    edges = np.arange(0.03, 0.34, 0.02)
    found = ring_powers(weigh_frequencies(frame, unexplained), edges) / ring_powers(frame, edges)
    frequency = (edges[1:] + edges[:-1]) / 2
    signal = 4 * np.pi * sigma**2 * np.exp(-((2 * np.pi * sigma * frequency) ** 2))
    # Noise of a thousandth of the variance is always assumed.
    floor = noise**2 + 1e-3 * (1 + noise**2)
    power = np.maximum(signal - 1e-3, 0)
    explained = floor + unexplained * (signal + noise**2)
    expected = power / (explained * (explained + 2 * power))
    clear = signal > 2 * floor
    assert clear.sum() > 4
    ratio = np.log(found[clear] / expected[clear])
    np.testing.assert_allclose(ratio, ratio.mean(), atol=0.5 if noise == 0 else 0.35)


@pytest.mark.parametrize("unexplained", [0.0, 1.0])
def test_slow_changes_of_intensity_are_left_out(unexplained):
    frame = textured((120, 140)) - 3
    y, x = np.indices(frame.shape)
    slow = np.exp(-((y - 70) ** 2 + (x - 60) ** 2) / (2 * 45**2)).astype(np.float32)
    weighted, other = (
        weigh_frequencies(f, unexplained) for f in (frame, frame + 3 * frame.std() * slow)
    )
    assert np.corrcoef(weighted.ravel(), other.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("apart, both", [(3, False), (4, True)])
@pytest.mark.parametrize("axis", [0, 1])
def test_peaks_are_more_than_three_px_apart(apart, both, axis):
    first = np.random.default_rng(0).normal(size=(80, 90)).astype(np.float32)
    second = np.roll(first, 2, axis) + 0.9 * np.roll(first, 2 - apart, axis)
    peaks = search(first, second, rotations=np.zeros(1), max_drift=0.2, n_peaks=2)
    drifts = [peak.motion.drift[axis] for peak in peaks]
    assert drifts[0] == pytest.approx(2, abs=0.5)
    assert (abs(drifts[1] - (2 - apart)) < 0.5) == both


@pytest.mark.parametrize("index", [1, 2, 3])
def test_a_vertex_is_found_at_every_sample_but_the_first_and_the_last(index):
    x = np.arange(5)
    assert _vertex(7 - 2.5 * (x - index - 0.3) ** 2, index) == pytest.approx(0.3)


@pytest.mark.parametrize("drift", [(5.3, 0), (0, -4.4), (-2.3, 6.4)])
def test_the_search_finds_fractions_of_a_px_along_each_axis(drift):
    frame = textured((90, 80)) - 3
    moved = warp(frame, Motion(frame.shape, drift))
    peaks = search(frame, moved, rotations=np.zeros(1), max_drift=0.2, n_peaks=1)
    np.testing.assert_allclose(peaks[0].motion.drift, drift, atol=0.15)
