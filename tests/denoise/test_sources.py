"""Batches of training pairs."""

import numpy as np
import pytest
import torch

from stemkit.denoise._sources import PairSource, source_of_stream


def make_source(side=16, **settings):
    y, x = np.mgrid[:16, :24].astype(np.float32)
    frames = np.stack([100 * n + y + x / 100 for n in range(5)])
    settings = {"batch_size": 2, "flip": True, "degrade": None, "random_state": 0} | settings
    return PairSource(frames, 2 * frames, side=side, device=torch.device("cpu"), **settings)


def test_each_frame_occurs_once_in_an_epoch():
    source = make_source(side=32)
    assert source.steps_per_epoch == 3
    epochs = [
        [
            int(frame.max()) // 100
            for step in range(start, start + 3)
            for frame in source.batch(step)[0]
        ]
        for start in (0, 3)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(5))
    assert epochs[0] != epochs[1]


def test_inputs_and_targets_are_cropped_and_flipped_alike():
    source = make_source(side=8)
    assert source.n_samples == 5 * 2 * 3
    corners, positions = set(), set()
    for step in range(40):
        inputs, targets = source.batch(step)
        assert inputs.shape[1:] == (8, 8)
        torch.testing.assert_close(targets, 2 * inputs)
        for frame in inputs:
            corners.add((bool(frame[0, 0] < frame[-1, 0]), bool(frame[0, 0] < frame[0, -1])))
            positions.add(float(frame.min() % 100))
    assert len(corners) == 4
    assert len(positions) > 40
    one, other = (make_source(side=8).batch(7)[0] for _ in range(2))
    assert torch.equal(one, other)


def test_a_function_that_makes_no_batch_is_named_as_x():
    with pytest.raises(
        ValueError, match=r"^X is a stream, but make_batch\(generator\) must return"
    ):
        source_of_stream(lambda generator: generator, 1, 0)
