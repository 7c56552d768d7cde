import os

import numpy as np
import pandas as pd

from stemkit.datasets import make_llzo_series
from stemkit.io import read_stack

RESULTS = {
    "trajectory.csv",
    "aligned.tif",
    "average.tif",
    "average_coverage.tif",
    "average.png",
    "decay.tif",
    "trajectory.png",
    "stemkit.json",
}


def test_demo_compares_estimate_and_truth(run, tmp_path):
    result = run("demo", "-o", "out", "--frames", 2, "--size", 192, "--seed", 2)
    assert result.exit_code == 0, result.output
    for text in ("dy", "dx", "rotation_deg", "mean_damage", "estimate", "truth", "error"):
        assert text in result.stdout
    out = tmp_path / "out"
    expected = RESULTS | {"frame_0001.png", "frames.tif", "truth.csv", "demo.png"}
    assert set(os.listdir(out)) == expected
    assert read_stack(out / "frames.tif").frames.shape == (2, 192, 192)
    truth = pd.read_csv(out / "truth.csv", index_col="frame")
    assert (truth.loc[0] == 0).all()
    series = make_llzo_series(2, shape=(192, 192), random_state=2)
    np.testing.assert_allclose(truth[["dy", "dx"]], series.drift)
    np.testing.assert_allclose(truth["rotation_deg"], np.rad2deg(series.rotation))
    np.testing.assert_allclose(truth["shear"], series.shear)
    damage = 1 - series.decay[1]
    assert damage.min() < truth["mean_damage"][1] < damage.max()
