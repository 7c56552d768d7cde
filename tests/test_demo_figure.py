import numpy as np
import pandas as pd
import pytest
from skimage.io import imread

from stemkit._demo_figure import draw_demo, save_small_png
from stemkit.datasets import make_llzo_series


@pytest.fixture(scope="module")
def series():
    return make_llzo_series(3, shape=(256, 256), random_state=0)


def trajectory_of(series, off=(0.0, 0.0)):
    """Return the true trajectory, with an error of some px in the last frame."""
    drift = series.drift + np.outer(np.arange(3) == 2, off)
    table = {"dy": drift[:, 0], "dx": drift[:, 1]}
    table["rotation_deg"] = np.rad2deg(series.rotation)
    return pd.DataFrame(table | {"shear": series.shear, "stretch": 0.0, "scale": 1.0})


def test_the_figure_gives_the_error_of_the_drift(series):
    figure = draw_demo(series, series.decay, trajectory_of(series, off=(3.0, 4.0)))
    assert figure.axes[1].get_xlabel().endswith("error 5.00 px")


def test_the_estimated_and_the_true_damage_are_drawn_side_by_side(series):
    decay = np.full_like(series.decay, 0.25)
    figure = draw_demo(series, decay, trajectory_of(series))
    estimated, true = (figure.axes[panel].images[0].get_array() for panel in (3, 4))
    assert np.ma.allclose(estimated, 0.75)
    assert np.ma.allclose(true, 1 - series.decay[-1])
    # Pixels outside the last frame are blank in both images.
    assert estimated.mask.any()
    np.testing.assert_array_equal(estimated.mask, true.mask)


def test_the_file_is_small_and_looks_like_the_figure(series, tmp_path):
    figure = draw_demo(series, series.decay, trajectory_of(series))
    save_small_png(figure, tmp_path / "small.png")
    figure.savefig(tmp_path / "full.png", dpi=100)
    assert (tmp_path / "small.png").stat().st_size < 100_000
    small, full = (imread(tmp_path / name)[..., :3] for name in ("small.png", "full.png"))
    assert np.abs(small - full.astype(float)).mean() < 5
