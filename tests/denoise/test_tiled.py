import numpy as np
import pytest
import torch

from stemkit.denoise import SCGNDenoiser
from stemkit.denoise._tiled import _at_once, even_tile

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
    "shape, tile", [((256, 256), 256), ((512, 20), 512), ((513, 513), 273), ((4096, 600), 286)]
)
def test_tiles_overlap_no_more_than_they_must(shape, tile):
    assert even_tile(shape, 256, 32) == tile


@pytest.mark.parametrize(
    "device, tile, n", [("cpu", 256, 1), ("cuda", 40, 16), ("cuda", 256, 16), ("cuda", 512, 4)]
)
def test_a_gpu_gets_as_many_pixels_at_once_whatever_the_tile(device, tile, n):
    assert _at_once(torch.device(device), 256, tile) == n
