"""A fixture that runs a pure function on arrays and on tensors."""

import numpy as np
import pytest
import torch


def _numpy(function, frames, *args, random=True, **kwargs):
    if random:
        kwargs["generator"] = np.random.default_rng(11)
    return function(frames, *args, **kwargs)


def _torch(function, frames, *args, random=True, **kwargs):
    if random:
        kwargs["generator"] = torch.Generator().manual_seed(11)
    result = function(torch.from_numpy(frames), *args, **kwargs)
    assert isinstance(result, torch.Tensor)
    return result.numpy()


@pytest.fixture(params=[_numpy, _torch], ids=["numpy", "torch"])
def run(request):
    """``run(function, frames, ..., random=True)`` of either library returns an array of float64.

    It checks what holds for all functions: they keep shape and dtype, and do not change the frames.
    """

    def call(function, frames, *args, **kwargs):
        before = frames.copy()
        result = request.param(function, frames, *args, **kwargs)
        np.testing.assert_array_equal(frames, before)
        assert result.shape == frames.shape
        assert result.dtype == np.float32
        return result.astype(float)

    return call
