import matplotlib.pyplot as plt
import numpy as np
import pytest

from stemkit.inspection import NoiseCalibrationDisplay
from stemkit.noise import HRTEMNoise, PoissonGaussianNoise


def calibrated(model, **parameters):
    camera = model(**parameters, random_state=0)
    levels = (40, 120, 360)
    return model().fit([camera.fit_transform(np.full((8, 48, 48), level)) for level in levels])


@pytest.fixture(scope="module")
def hrtem():
    return calibrated(HRTEMNoise)


def test_points_and_line_are_those_of_the_calibration(hrtem):
    ax = NoiseCalibrationDisplay.from_estimator(hrtem).ax_[2]
    line = ax.lines[0]
    x, y = line.get_data()
    np.testing.assert_allclose(y, hrtem.gain_ * x + hrtem.offset_)
    assert f"{hrtem.gain_:.4g}" in line.get_label()
    pointwise, columns = ax.containers
    np.testing.assert_array_equal(
        np.transpose(pointwise.lines[0].get_data()),
        hrtem.calibration_.points[["intensity", "sigma"]],
    )
    np.testing.assert_array_equal(
        np.transpose(columns.lines[0].get_data()),
        hrtem.calibration_.sequences[["intensity", "column_sigma"]],
    )
    assert ax.get_title() == "HRTEMNoise holds"


def test_title_names_a_model_that_can_not_be_distinguished():
    camera = HRTEMNoise(random_state=0)
    noise = HRTEMNoise().fit(
        [camera.fit_transform(np.full((8, 48, 48), level)) for level in (40, 360)]
    )
    ax = NoiseCalibrationDisplay.from_estimator(noise).ax_[2]
    assert ax.get_title() == "HRTEMNoise holds,\nnot distinguished from PoissonGaussianNoise"


def test_error_bars_are_the_standard_errors(hrtem):
    ax = NoiseCalibrationDisplay.from_estimator(hrtem).ax_[2]
    points = hrtem.calibration_.points
    segments = np.array(ax.containers[0].lines[2][0].get_segments())
    np.testing.assert_allclose(np.ptp(segments[..., 1], axis=1), 2 * points["sigma_stderr"])


@pytest.mark.parametrize("sequence", [0, 2])
def test_distributions_are_those_of_the_chosen_sequence(hrtem, sequence):
    axes = NoiseCalibrationDisplay.from_estimator(hrtem, sequence=sequence).ax_
    calibration = hrtem.calibration_
    samples = (calibration.pointwise[sequence], calibration.columns[sequence])
    for ax, sample in zip(axes[:2], samples, strict=True):
        bars = ax.patches
        edges = np.append([bar.get_x() for bar in bars], bars[-1].get_x() + bars[-1].get_width())
        expected, _ = np.histogram(sample, edges, density=True)
        np.testing.assert_allclose([bar.get_height() for bar in bars], expected, rtol=1e-6)
    assert f"{calibration.sequences['intensity'].iloc[sequence]:.0f} counts" in axes[0].get_title()


def test_curve_of_poisson_noise_is_a_square_root():
    noise = calibrated(PoissonGaussianNoise, gain=3.0, read_sigma=4.0)
    ax = NoiseCalibrationDisplay.from_estimator(noise).ax_[2]
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(y, np.sqrt(noise.gain_ * x + noise.read_sigma_**2))


@pytest.mark.parametrize(
    "model, distribution", [(HRTEMNoise, "normal"), (PoissonGaussianNoise, "Poisson")]
)
def test_p_value_names_the_tested_distribution(model, distribution):
    noise = calibrated(model)
    axes = NoiseCalibrationDisplay.from_estimator(noise).ax_
    table = noise.calibration_.sequences.iloc[0]
    for ax, tested, name in zip(
        axes, (distribution, "normal"), ("pointwise", "columns"), strict=False
    ):
        assert f"{tested}?\nKS p = {table[f'ks_{name}']:.2g}" in [
            text.get_text() for text in ax.texts
        ]


def test_title_of_a_model_that_does_not_hold():
    rng = np.random.default_rng(0)
    with pytest.warns(UserWarning, match="does not hold"):
        noise = HRTEMNoise().fit([rng.uniform(0, x, (12, 64, 64)) for x in (50, 100)])
    display = NoiseCalibrationDisplay.from_estimator(noise)
    assert display.ax_[2].get_title() == "HRTEMNoise does not hold"


def test_existing_axes_are_used(hrtem):
    _, axes = plt.subplots(3, 1)
    display = NoiseCalibrationDisplay(hrtem.calibration_).plot(axes)
    assert display.ax_[0] is axes[0]
    with pytest.raises(ValueError, match="three Axes"):
        display.plot(axes[:2])


def test_sequence_must_exist(hrtem):
    with pytest.raises(ValueError, match=r"sequence must be an int in \[-3, 2\]; got 3"):
        NoiseCalibrationDisplay.from_estimator(hrtem, sequence=3)


def test_a_simulator_without_calibration_is_an_error():
    noise = HRTEMNoise().fit(np.ones((1, 8, 8)))
    with pytest.raises(ValueError, match="HRTEMNoise has no calibration to draw; fit it"):
        NoiseCalibrationDisplay.from_estimator(noise)
