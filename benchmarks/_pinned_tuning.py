"""Choose the weights of the PINNED loss with GridSearchCV, on training materials alone."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
from _pinned_data import TRAINING
from sklearn.model_selection import GridSearchCV, KFold

from stemkit import PINNEDDenoiser
from stemkit.datasets import make_crystal_images
from stemkit.noise import CompositeDegradationNoise

_SIDE = 96


def tune(folder: Path, seed: int = 0, n_frames: int = 48, max_epochs: int = 25) -> pd.DataFrame:
    """Return a table of weights and their scores, best first, from short runs of a small network.

    The score is the mean PSNR over frames of the other fold, with noise of all levels. An earlier
    result is read from the folder.
    """
    file = folder / "tuning.json"
    if not file.exists():
        file.write_text(json.dumps(_search(seed, n_frames, max_epochs)))
    table = pd.DataFrame(json.loads(file.read_text()))
    return table.sort_values("PSNR", ascending=False, ignore_index=True)


def _search(seed: int, n_frames: int, max_epochs: int) -> list[dict[str, float]]:
    clean = _crystals(seed, n_frames)
    model = PINNEDDenoiser(
        n_channels=4,
        normalize="training",
        n_blocks=2,
        n_evidence=1,
        noise=CompositeDegradationNoise(level=[1, 2, 3, 4, 5], random_state=seed),
        max_epochs=max_epochs,
        batch_size=4,
        lr=5e-3,
        device="cpu",
        random_state=seed,
    )
    grid = [
        {"lambda_tv": [tv], "lambda_sf": [sf], "lambda_b": [bc], "lambda_c": [bc]}
        for tv, sf, bc in itertools.product([1e-3, 1e-2], [0.01, 0.1], [0.01, 0.1])
    ]
    folds = KFold(2, shuffle=True, random_state=seed)
    search = GridSearchCV(model, grid, cv=folds, refit=False).fit(clean)
    found = search.cv_results_
    return [
        {**parameters, "PSNR": float(mean), "spread of folds": float(spread)}
        for parameters, mean, spread in zip(
            found["params"], found["mean_test_score"], found["std_test_score"], strict=True
        )
    ]


def _crystals(seed: int, n: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    frames = [
        make_crystal_images(
            TRAINING[index % len(TRAINING)],
            rotation=float(rng.uniform(0, 360)),
            pixel_size=float(rng.uniform(0.012, 0.03)),
            shape=(_SIDE, _SIDE),
            random_state=rng,
        ).frames[0]
        for index in range(n)
    ]
    return np.stack(frames)
