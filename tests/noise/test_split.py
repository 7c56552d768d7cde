import numpy as np
import pytest
from scipy import stats

from stemkit.noise import HRTEMNoise, PoissonGaussianNoise, split_exposure
from stemkit.noise._base import fitted_noise
from stemkit.noise._split import _electrons

CAMERAS = {
    "counting": PoissonGaussianNoise(gain=3.0, pedestal=10.0),
    "counting with readout": PoissonGaussianNoise(gain=3.0, read_sigma=4.0, pedestal=10.0),
    "with columns": PoissonGaussianNoise(gain=3.0, column_sigma=5.0, pedestal=10.0),
    "hrtem": HRTEMNoise(),
    "hrtem with columns": HRTEMNoise(column_sigma=4.0),
}


@pytest.fixture(params=CAMERAS.values(), ids=CAMERAS)
def camera(request):
    return request.param.set_params(random_state=0)


def made(camera, level, shape=(4, 200, 200)):
    return camera.fit_transform(np.full(shape, level))


@pytest.mark.parametrize("fraction", [0.5, 0.8])
def test_halves_are_independent_and_unbiased(camera, fraction):
    frames = made(camera, 70.0)  # 20 electrons
    first, second = split_exposure(
        frames, camera, fraction=fraction, generator=np.random.default_rng(1)
    )
    variance = float(frames.var())
    column_variance = camera.column_sigma**2
    for part, share in ((first, fraction), (second, 1 - fraction)):
        # standard error of the added noise of pixels and of 800 columns
        stderr = np.sqrt((1 / share - 1) * (variance / frames.size + column_variance / 800))
        assert float(part.mean()) == pytest.approx(float(frames.mean()), abs=4 * stderr)
    assert float(first.var()) == pytest.approx(variance / fraction, rel=0.06)
    assert float(second.var()) == pytest.approx(variance / (1 - fraction), rel=0.06)
    by_chance = 4 * column_variance / variance / np.sqrt(800)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02 + by_chance
    columns = [part.mean(axis=1).ravel() for part in (first, second)]
    assert abs(np.corrcoef(columns)[0, 1]) < 4 / np.sqrt(800)


def test_the_noise_of_the_halves_is_independent():
    """The mean of one half is the same for all intensities of the other, beyond no correlation."""
    camera = HRTEMNoise(random_state=0, column_sigma=0)
    frames = made(camera, 75.0)
    first, second = split_exposure(frames, camera, generator=np.random.default_rng(1))
    means = stats.binned_statistic(
        first.ravel(), second.ravel(), bins=np.quantile(first, np.linspace(0, 1, 9))
    )[0]
    # 1/18 of a standard deviation, since transformed camera noise is not exactly normal
    np.testing.assert_allclose(means, 75, atol=0.33)


def test_without_the_split_of_columns_halves_would_share_them():
    camera = HRTEMNoise(column_sigma=4.0, random_state=0)
    frames = made(camera, 70.0)
    first, second = split_exposure(frames, HRTEMNoise(column_sigma=0.0))
    columns = [part.mean(axis=1).ravel() for part in (first, second)]
    assert np.corrcoef(columns)[0, 1] > 0.8


def test_electrons_are_not_divided():
    camera = CAMERAS["counting"].set_params(random_state=0)
    frames = made(camera, 13.0)  # one electron per pixel
    first, second = split_exposure(
        frames, camera, fraction=0.25, generator=np.random.default_rng(0)
    )
    np.testing.assert_allclose(0.25 * first + 0.75 * second, frames, atol=1e-4)
    electrons = (first - 10) / 3 * 0.25
    np.testing.assert_allclose(electrons, np.rint(electrons), atol=1e-4)
    counts = np.bincount(np.rint(electrons).astype(int).ravel(), minlength=8)[:8]
    np.testing.assert_allclose(
        counts / electrons.size, stats.poisson(0.25).pmf(np.arange(8)), atol=0.005
    )


def test_generator_decides_and_frames_are_left_alone(camera):
    frames = made(camera, 70.0, (2, 20, 20))
    before = frames.copy()
    one, two = (split_exposure(frames, camera, generator=np.random.default_rng(5)) for _ in "ab")
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(frames, before)
    assert one[0].dtype == np.float32
    assert not np.array_equal(one, split_exposure(frames, camera))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"fraction": 0.0}, r"^fraction must be a finite number in \(0, 1\)"),
        ({"noise": 3.0}, "^noise must be an object with unstabilize, such as HRTEMNoise"),
        ({"frames": np.ones((3, 3))}, r"frames\[np.newaxis\]"),
    ],
)
def test_bad_input_is_named(arguments, message):
    arguments = {"frames": np.ones((1, 3, 3)), "noise": HRTEMNoise()} | arguments
    with pytest.raises(ValueError, match=message):
        split_exposure(**arguments)


@pytest.mark.parametrize("off", [0.0, 0.01, 0.5, -0.3])
def test_pixels_that_are_no_whole_numbers_of_electrons_are_not_split_as_such(off):
    # Averages of frames, for example, and frames of another gain.
    camera = fitted_noise(CAMERAS["counting"])
    electrons = np.random.default_rng(0).poisson(20, (2, 30, 30)).astype(float)
    found = _electrons(10 + 3 * (electrons + off), camera)
    if off:
        assert found is None
    else:
        np.testing.assert_array_equal(found, electrons)
    assert _electrons(10 + 3 * (electrons - electrons.max()), camera) is None
