"""Batches are halved until they fit into memory."""

import pytest
import torch

from stemkit.engine._memory import halve_until_it_fits


def fits_up_to(most, tried):
    def run(batch_size):
        tried.append(batch_size)
        if batch_size > most:
            raise torch.OutOfMemoryError("too large")
        return f"done with {batch_size}"

    return run


@pytest.mark.parametrize(
    "first, most, sizes",
    [(16, 16, [16]), (16, 99, [16]), (16, 4, [16, 8, 4]), (7, 1, [7, 3, 1]), (1, 1, [1])],
)
def test_the_largest_half_that_fits_is_used(recwarn, first, most, sizes):
    tried = []
    assert halve_until_it_fits(fits_up_to(most, tried), first) == f"done with {sizes[-1]}"
    assert tried == sizes
    # A warning for each step names the new size.
    named = [int(str(warning.message).rstrip(".").split()[-1]) for warning in recwarn]
    assert named == sizes[1:]
    assert all(issubclass(warning.category, RuntimeWarning) for warning in recwarn)


@pytest.mark.filterwarnings("ignore:The GPU has too little memory")
@pytest.mark.parametrize("first", [1, 2, 5])
def test_too_little_memory_for_one_is_an_error(first):
    tried = []
    with pytest.raises(MemoryError, match="even for one tile at a time"):
        halve_until_it_fits(fits_up_to(0, tried), first)
    assert tried[-1] == 1


def test_other_errors_are_raised_at_once():
    def broken(batch_size):
        raise RuntimeError(f"at {batch_size}")

    with pytest.raises(RuntimeError, match="at 8"):
        halve_until_it_fits(broken, 8)


@pytest.mark.filterwarnings("ignore:The GPU has too little memory")
@pytest.mark.parametrize("has_gpu", [True, False])
def test_the_memory_of_a_gpu_is_freed_before_the_next_try(monkeypatch, has_gpu):
    order, run = [], fits_up_to(2, [])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: order.append("freed"))
    halve_until_it_fits(lambda n: order.append(n) or run(n), 8)
    assert order == ([8, "freed", 4, "freed", 2] if has_gpu else [8, 4, 2])
