import numpy as np
import pytest

from stemkit.noise import PoissonGaussianNoise


def test_frames_have_the_models_moments():
    clean = np.full((40, 64, 64), 80.0)
    noisy = PoissonGaussianNoise(
        gain=2.0, read_sigma=3.0, pedestal=20.0, column_sigma=1.5, random_state=0
    ).fit_transform(clean)
    point = 2 * (80 - 20) + 9
    noise = noisy - clean
    assert abs(noise.mean()) < 5 * np.sqrt((point / 64 + 2.25) / (40 * 64))
    means = noise.mean(axis=1)
    assert abs(means.var() / (2.25 + point / 64) - 1) < 5 * np.sqrt(2 / means.size)
    residual = noise - means[:, np.newaxis]
    assert abs(residual.var() * 64 / 63 / point - 1) < 5 * np.sqrt(2.1 / noise.size)


def test_stabilised_noise_is_1():
    clean = np.array([40.0, 400.0])[:, np.newaxis, np.newaxis] * np.ones((2, 100, 100))
    noise = PoissonGaussianNoise(gain=2.0, read_sigma=3.0, random_state=0).fit(clean)
    noisy = noise.transform(clean)
    stable = noise.stabilize(noisy)
    np.testing.assert_allclose(stable.std(axis=(1, 2)), 1, atol=0.03)
    np.testing.assert_allclose(noise.unstabilize(stable), noisy, atol=1e-3)


def test_frames_below_the_pedestal_are_an_error():
    with pytest.raises(ValueError, match="counts below the pedestal"):
        PoissonGaussianNoise(pedestal=10).fit(np.ones((1, 4, 4)))


@pytest.mark.parametrize(
    "name, value", [("gain", 0), ("read_sigma", -1), ("pedestal", np.inf), ("column_sigma", -1)]
)
def test_wrong_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=f"^{name} must"):
        PoissonGaussianNoise(**{name: value}).fit(np.ones((1, 4, 4)))
