import numpy as np
import pytest
from scipy import ndimage

from stemkit.datasets import make_llzo_series
from stemkit.drift import coverage, warp

SMALL = {"shape": (96, 128), "pixel_size": 0.04, "random_state": 3}


def test_diffraction_down_111_is_that_of_the_garnet():
    pixel_size = 0.025
    frame = make_llzo_series(2, shape=(512, 512), pixel_size=pixel_size, random_state=0).clean[0]
    flat = frame - ndimage.gaussian_filter(frame, 20)
    window = np.hanning(512)
    power = np.abs(np.fft.fft2(flat * window[:, None] * window)) ** 2

    def at(indices):
        # (-1, 1, 0) is along y and (1, 1, -2) along x.
        h = np.array(indices)
        wave = np.array([h @ [-1, 1, 0] / np.sqrt(2), h @ [1, 1, -2] / np.sqrt(6)]) / 1.297
        y, x = np.rint(wave * pixel_size * 512).astype(int)
        return max(power[y + i, x + j] for i in (-1, 0, 1) for j in (-1, 0, 1))

    allowed = [at(h) for h in ((2, -1, -1), (-1, 2, -1), (-1, -1, 2), (2, -2, 0), (0, 2, -2))]
    # Extinct by the glide planes of Ia-3d.
    extinct = [at(h) for h in ((1, -1, 0), (0, 1, -1), (-1, 0, 1))]
    assert min(allowed) > 15 * max(extinct)


def test_the_motion_aligns_the_frames():
    # Without damage the frames differ by the motion alone; the film moves with the lattice.
    series = make_llzo_series(4, frame_dose=0, max_rotation=3, max_shear=0.03, **SMALL)
    for index in range(1, 4):
        motion = series.motion[index]
        np.testing.assert_array_equal(motion.drift, series.drift[index])
        assert motion.rotation == series.rotation[index]
        inside = ndimage.binary_erosion(coverage(motion), iterations=3, border_value=0)
        assert inside.mean() > 0.5
        moved = warp(series.clean[0], motion)
        error = np.abs(moved - series.clean[index])[inside].max()
        unmoved = np.abs(series.clean[0] - series.clean[index])[inside].max()
        assert error < 0.03 < 0.3 < unmoved


def test_a_long_drift_never_leaves_the_specimen():
    series = make_llzo_series(30, frame_dose=0, max_drift=0.2, **SMALL)
    assert np.abs(series.drift).max() > 96
    for frame in series.clean:
        blocks = frame.reshape(4, 24, 4, 32).std(axis=(1, 3))
        assert blocks.min() > 0.05  # vacuum is flat


def test_the_lattice_fades_by_the_true_decay_while_the_mean_stays():
    still = {"max_drift": 0, "max_rotation": 0, "max_shear": 0}
    series = make_llzo_series(4, **still, **SMALL)
    np.testing.assert_allclose(
        series.decay, np.exp(-series.dose[:, None, None] / series.critical_dose), rtol=1e-5
    )
    assert np.all(np.diff(series.decay, axis=0) < 0)

    def fine(frame):
        return frame - ndimage.gaussian_filter(frame, 1.0)

    inner = np.s_[8:-8, 8:-8]
    for clean, decay in zip(series.clean, series.decay, strict=True):
        # Only the lattice has fine details, whose amplitude is the decay.
        first = fine(series.clean[0])
        amplitude = (fine(clean) * first)[inner].sum() / (decay * first**2)[inner].sum()
        assert amplitude == pytest.approx(1, abs=0.03)
        # Means over several cells do not change.
        mean, before = (ndimage.gaussian_filter(f, 12) for f in (clean, series.clean[0]))
        np.testing.assert_allclose(mean[24:-24, 24:-24], before[24:-24, 24:-24], rtol=0.08)


def test_noise_is_shot_noise_of_the_dose():
    options = {**SMALL, "row_jitter": 0}
    series = make_llzo_series(2, dose=50, **options)
    counts = series.frames * 50
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-3)
    deviation = (series.frames - series.clean) / np.sqrt(series.clean / 50)
    assert deviation.mean() == pytest.approx(0, abs=0.02)
    assert deviation.std() == pytest.approx(1, abs=0.02)
    noiseless = make_llzo_series(2, dose=None, **options)
    np.testing.assert_array_equal(noiseless.frames, noiseless.clean)


def test_the_series_depends_only_on_the_seed():
    first, again = (make_llzo_series(2, **SMALL) for _ in range(2))
    np.testing.assert_array_equal(first.frames, again.frames)
    np.testing.assert_array_equal(first.drift, again.drift)
    other = make_llzo_series(2, **{**SMALL, "random_state": 4})
    assert not np.array_equal(first.drift, other.drift)


@pytest.mark.parametrize(
    "bad",
    [
        {"n_frames": 1},
        {"pixel_size": 0},
        {"probe_size": -1.0},
        {"zone_axis": (0, 0, 0)},
        {"zone_axis": (1, 1)},
        {"zone_axis": (1, 1, 0.5)},
        {"shape": (96,)},
        {"max_drift": np.nan},
        {"max_rotation": np.nan},
        {"max_shear": 1},
        {"dose": 0},
        {"background": "dark"},
        {"frame_dose": -1.0},
        {"row_jitter": -0.5},
    ],
)
def test_invalid_arguments_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        make_llzo_series(**{"n_frames": 2, **SMALL, **bad})
