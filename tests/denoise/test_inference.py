import numpy as np
import pytest
import torch

from stemkit.denoise import SCGNDenoiser
from stemkit.denoise._inference import _n_tiles, even_tile

from .tiny import random_pairs


def test_large_frames_are_done_in_tiles_without_steps():
    X, y = random_pairs(2, (64, 64))
    tiny = SCGNDenoiser(n_blocks=1, n_channels=4, device="cpu", random_state=0)
    model = tiny.set_params(tile_size=64, max_epochs=4).fit(X, y)
    large, _ = random_pairs(1, (150, 131), seed=5)
    tiled = model.transform(large)[0]
    whole = model.set_params(tile_size=256).transform(large)[0]
    difference = tiled - whole
    assert np.abs(difference).mean() < 0.05 * whole.std()
    # nowhere does the difference jump, as it would from tile to tile if they were just joined
    assert np.abs(np.diff(difference, axis=0)).mean(1).max() < 0.05 * whole.std()
    assert np.abs(np.diff(difference, axis=1)).mean(0).max() < 0.05 * whole.std()


@pytest.mark.parametrize(
    "shape, at_once, tile",
    [
        ((256, 256), 1, 256),
        ((288, 20), 1, 288),
        ((512, 20), 1, 272),
        ((512, 20), 2, 512),
        ((513, 513), 2, 273),
        ((4096, 600), 2, 286),
    ],
)
def test_tiles_overlap_no_more_than_they_must(shape, at_once, tile):
    assert even_tile(shape, 256, 32, at_once) == tile


def test_scgn_does_frames_of_twice_a_tile_at_once():
    X, y = random_pairs(2, (32, 32))
    model = SCGNDenoiser(n_blocks=1, n_channels=4, max_epochs=1, device="cpu", random_state=0)
    large, _ = random_pairs(1, (33, 64), seed=5)
    model = model.set_params(tile_size=32).fit(X, y)
    whole = model.transform(large)
    np.testing.assert_array_equal(whole, model.set_params(tile_size=64).transform(large))
    assert (whole != model.set_params(tile_size=31).transform(large)).any()


@pytest.mark.parametrize(
    "device, tile, n",
    [("cpu", 256, 1), ("cuda", 40, 16), ("cuda", 256, 16), ("cuda", 286, 12), ("cuda", 512, 4)],
)
def test_a_gpu_gets_no_more_pixels_at_once_where_tiles_are_larger(device, tile, n):
    assert _n_tiles(torch.device(device), 256, tile) == n
