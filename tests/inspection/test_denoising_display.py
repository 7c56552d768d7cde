from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from stemkit.denoise import GaussianDenoiser
from stemkit.inspection import DenoisingDisplay
from stemkit.io import FrameStack


@pytest.fixture
def noisy():
    return np.random.default_rng(0).normal(100, 3, (64, 80)).astype(np.float32)


def data_of_lines(ax):
    return {line.get_label(): np.stack(line.get_data()) for line in ax.lines}


def test_panels_are_input_output_and_their_difference(noisy):
    model = GaussianDenoiser(sigma=1).fit(noisy[None])
    display = DenoisingDisplay.from_estimator(model, noisy)
    denoised = model.predict(noisy[None])[0]
    shown = [ax.images[0].get_array() for ax in display.ax_[:3]]
    np.testing.assert_array_equal(shown[0], noisy)
    np.testing.assert_array_equal(shown[1], denoised)
    np.testing.assert_array_equal(shown[2], noisy - denoised)
    low, high = display.ax_[2].images[0].get_clim()
    assert low == -high  # so that zero is grey
    titles = [ax.get_title().split(",")[0] for ax in display.ax_]
    assert titles == ["input", "output", "residual", "spectra"]
    assert f"{(noisy - denoised).std():.3g}" in display.ax_[2].get_title()
    again = DenoisingDisplay.from_predictions(noisy, denoised)
    np.testing.assert_array_equal(again.ax_[2].images[0].get_array(), noisy - denoised)


def test_spectrum_of_white_noise_is_its_variance(noisy):
    drawn = data_of_lines(DenoisingDisplay.from_predictions(noisy, 0 * noisy + 100).ax_[3])
    assert set(drawn) == {"input", "output", "residual"}
    frequency, power = drawn["input"]
    assert frequency[0] < 0.02
    assert frequency[-1] == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(power[8:], 9, rtol=0.5)
    assert power.mean() == pytest.approx(9, rel=0.1)
    np.testing.assert_allclose(drawn["residual"][1], power, rtol=1e-3)


def test_a_lattice_is_a_peak_at_its_frequency(noisy):
    x = np.arange(80)
    lattice = noisy + 30 * np.cos(2 * np.pi * 0.2 * x)
    display = DenoisingDisplay.from_predictions(lattice, noisy, truth=lattice, pixel_size=0.05)
    drawn = data_of_lines(display.ax_[3])
    assert display.ax_[3].get_xlabel() == "spatial frequency (1/nm)"
    for name in ("input", "residual", "truth"):
        frequency, power = drawn[name]
        assert frequency[power.argmax()] == pytest.approx(0.2 / 0.05, abs=0.3)
    assert drawn["output"][1].max() < 30
    bars = [text.get_text() for ax in display.ax_[:3] for text in ax.texts]
    assert bars == ["1 nm"] * 3


def test_a_frame_with_a_pixel_size_has_scale_bars(noisy):
    model = SimpleNamespace(predict=lambda X: X / 2)
    display = DenoisingDisplay.from_estimator(model, FrameStack(noisy[None], 0.05))
    assert [len(ax.texts) for ax in display.ax_] == [1, 1, 1, 0]
    assert display.ax_[3].get_xlabel() == "spatial frequency (1/nm)"
    oblong = DenoisingDisplay.from_estimator(model, FrameStack(noisy[None], (0.1, 0.05)))
    assert [ax.get_aspect() for ax in oblong.ax_[:3]] == [2] * 3
    assert oblong.ax_[3].get_xlabel() == "spatial frequency (1/px)"


@pytest.mark.parametrize("shape", [(1, 9), (7, 1), (2, 2), (16, 16)])
def test_frames_of_any_size_and_without_contrast(shape):
    frame = np.full(shape, 5.0)
    DenoisingDisplay.from_predictions(frame, frame).figure_.draw_without_rendering()


def test_errors_name_the_argument(noisy):
    with pytest.raises(ValueError, match=r"noisy has shape \(1, 64, 80\), but must be one frame"):
        DenoisingDisplay(noisy[None], noisy)
    with pytest.raises(ValueError, match=r"denoised has shape \(64, 79\), but .* that of noisy"):
        DenoisingDisplay(noisy, noisy[:, :-1])
    with pytest.raises(ValueError, match="pixel_size must be a finite number of nm above 0"):
        DenoisingDisplay(noisy, noisy, pixel_size=0)
    with pytest.raises(ValueError, match="four Axes"):
        DenoisingDisplay(noisy, noisy).plot(plt.subplots(1, 2)[1])
