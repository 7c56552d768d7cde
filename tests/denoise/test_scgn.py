import pickle

import numpy as np
import pytest

from stemkit import SCGNDenoiser
from stemkit.datasets import make_nucleation
from stemkit.metrics import psnr


def shipped(**parameters):
    return SCGNDenoiser(weights="default", device="cpu", **parameters)


def test_tiles_raise_the_error_at_their_seams_by_less_than_a_hundredth():
    model = shipped(tile_size=100)
    data = make_nucleation(8, (208, 112), random_state=2)
    # Tiles of rows 0..112 and 96..208, and one centred on their overlap.
    found = model.transform(data.noisy), model.transform(data.noisy[:, 48:160])
    seam = slice(104 - 8, 104 + 8), slice(56 - 8, 56 + 8)
    target = data.target[:, seam[0]]
    tiled, central = (((f[:, s] - target) ** 2).mean() for f, s in zip(found, seam, strict=True))
    assert tiled < 1.01 * central


def test_half_precision_costs_less_than_a_twentieth_of_a_decibel():
    data = make_nucleation(4, (48, 48), random_state=7)
    exact, half = (
        shipped(precision=name).transform(data.noisy) for name in ("32-true", "bf16-mixed")
    )
    assert np.abs(half - exact).max() > 0.1
    assert abs(psnr(data.target, half) - psnr(data.target, exact)) < 0.05


def test_constant_frames_stay_empty():
    assert np.abs(shipped().transform(np.full((1, 40, 30), 100.0))).max() < 5


@pytest.mark.parametrize("level", [0.0, 1.0, 1e6])
def test_frames_without_contrast_stay_finite(level):
    for shape in [(1, 1), (3, 50)]:
        assert np.isfinite(shipped().transform(np.full((1, *shape), level))).all()


def test_pickle_instead_of_weights_is_not_executed(tmp_path, capsys):
    path = tmp_path / "weights.safetensors"
    shipped().save_weights(path)
    path.write_bytes(pickle.dumps(Prints()))
    with pytest.raises(ValueError, match="damaged"):
        SCGNDenoiser(weights=path).transform(np.ones((1, 8, 8)))
    assert capsys.readouterr().out == ""


class Prints:
    def __reduce__(self):
        return print, ("executed",)
