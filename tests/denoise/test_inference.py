import numpy as np
import pytest
import torch

from stemkit.denoise import SCGNDenoiser
from stemkit.denoise._inference import _n_tiles, even_tile

from .tiny import random_pairs


def test_tiles_of_large_frames_join_without_steps():
    X, y = random_pairs(2, (64, 64))
    tiny = SCGNDenoiser(n_blocks=1, n_channels=4, device="cpu", random_state=0)
    model = tiny.set_params(tile_size=64, max_epochs=4).fit(X, y)
    large, _ = random_pairs(1, (150, 131), seed=5)
    tiled = model.transform(large)[0]
    whole = model.set_params(tile_size=256).transform(large)[0]
    difference = tiled - whole
    assert np.abs(difference).mean() < 0.05 * whole.std()
    # The difference has no steps between tiles.
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
def test_tiles_overlap_as_little_as_possible(shape, at_once, tile):
    assert even_tile(shape, 256, 32, at_once) == tile


def test_scgn_denoises_frames_of_twice_a_tile_in_one_piece():
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
def test_batches_of_larger_tiles_have_no_more_pixels_on_a_gpu(device, tile, n):
    assert _n_tiles(torch.device(device), 256, tile) == n
