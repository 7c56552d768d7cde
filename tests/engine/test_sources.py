"""Kinds of arrays and tensors that a source may hold."""

import numpy as np
import pytest
import torch

from stemkit.engine import ArraySource, StreamSource

VALUES = [[0.0, 1.0], [2.0, 3.0]]


@pytest.mark.parametrize(
    "made, dtype",
    [
        (np.array(VALUES), torch.float32),
        (np.array(VALUES, ">f4").astype("f2"), torch.float32),
        (np.array(VALUES, "i2"), torch.int16),
        (VALUES, torch.float32),
        (torch.tensor(VALUES, dtype=torch.float64), torch.float32),
        (torch.tensor(VALUES, dtype=torch.bfloat16), torch.float32),  # NumPy has no bfloat16
        (torch.tensor(VALUES, dtype=torch.int64), torch.int64),
    ],
    ids=str,
)
def test_a_stream_may_make_arrays_lists_or_tensors(made, dtype):
    (batch,) = StreamSource(lambda generator: [made]).batch(0)
    assert batch.dtype == dtype
    assert batch.tolist() == VALUES


def test_an_array_source_may_hold_tensors():
    source = ArraySource(torch.tensor(VALUES, dtype=torch.bfloat16), batch_size=1, shuffle=False)
    assert [source.batch(step)[0].tolist() for step in range(3)] == [
        VALUES[:1],
        VALUES[1:],
        VALUES[:1],
    ]


@pytest.mark.parametrize("made", [np.random.default_rng(0), 3, [3.0], [np.array(1.0)], {"a": [1]}])
def test_a_function_that_makes_no_batch_is_named(made):
    with pytest.raises(ValueError, match=r"make_batch\(generator\) must return a tuple of arrays"):
        StreamSource(lambda generator: made).batch(0)
