import numpy as np
import pytest
from scipy import ndimage

from stemkit.registration._correlation_search import border, search, weigh_frequencies


def test_the_search_equals_direct_sums():
    rng = np.random.default_rng(2)
    first, second = ndimage.gaussian_filter(rng.normal(size=(2, 24, 20)), (0, 1, 1))
    # The search fades frames towards their borders; here the borders are 0.
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
