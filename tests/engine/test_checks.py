"""What odd losses and sources return is an error that names it."""

import numpy as np
import pytest
import torch

from stemkit.engine import ArraySource, fit_module
from stemkit.exceptions import InvalidParameterError

X = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]


class Source:
    def __init__(self, made=None, steps_per_epoch=2):
        self.made, self.steps_per_epoch = made, steps_per_epoch

    def batch(self, step):
        return self.made


def error(module, batch):
    return (module(batch[0]) - 1).square()


def mean_error(module, batch):
    return error(module, batch).mean()


def fit(loss=mean_error, source=None, module=None, **settings):
    source = source or ArraySource(X, batch_size=4)
    module = module or torch.nn.Linear(1, 1)
    return fit_module(module, loss, source, max_steps=2, device="cpu", **settings)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda loss: loss.mean(), None),
        (lambda loss: loss.mean()[None], None),
        (lambda loss: {"loss": loss.mean(), "other": torch.tensor(2)}, None),
        (lambda loss: None, r"must return a tensor of one real number.* it returned None"),
        (lambda loss: 1.5, r"must return a tensor of one real number.* it returned 1\.5"),
        (lambda loss: [loss.mean()], "must return a tensor of one real number"),
        (lambda loss: loss.mean().detach().numpy(), "must return a tensor of one real number"),
        (lambda loss: loss.mean() * 1j, "must return a tensor of one real number"),
        (lambda loss: loss, r"of one number; it returned one of shape \(4, 1\).*mean\(\)"),
        (lambda loss: loss[:0], r"of one number; it returned one of shape \(0, 1\)"),
        (lambda loss: loss.mean().detach(), "must be computed from what module"),
        (lambda loss: torch.tensor(1), "must be computed from what module"),
        (lambda loss: {}, r"returned \[\]; one of them must be named"),
        (lambda loss: {3: loss.mean(), "a": 1}, r"returned \['3', 'a'\]; one of them"),
        (lambda loss: {"loss": loss.mean(), 3: loss.mean()}, "name its values by text; got 3"),
        (lambda loss: {"loss": loss.mean(), "a": 2}, r"as 'a' a tensor of one real number.* 2"),
        (lambda loss: {"loss": loss.mean(), "a": loss}, r"as 'a' a tensor of one number.*\(4, 1\)"),
        (lambda loss: {"loss": loss}, r"of one number; it returned one of shape \(4, 1\)"),
    ],
)
def test_an_odd_loss_is_named(change, message):
    def loss(module, batch):
        return change(error(module, batch))

    if message is None:
        assert fit(loss).n_steps == 2
    else:
        with pytest.raises(InvalidParameterError, match=f"^loss .*{message}"):
            fit(loss)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_named(value):
    with pytest.raises(FloatingPointError, match=r"^The loss became (nan|inf) at step 0"):
        fit(lambda module, batch: mean_error(module, batch) * value)


@pytest.mark.parametrize("name", ["source", "validation"])
@pytest.mark.parametrize("steps", [0, -1, 1.5, None, "2", True])
def test_an_epoch_has_at_least_one_step(name, steps):
    source = Source((torch.ones(4, 1),), steps_per_epoch=steps)
    with pytest.raises(InvalidParameterError, match=rf"{name}\.steps_per_epoch must be an int of"):
        fit(**{name: source})
    del source.steps_per_epoch
    with pytest.raises(InvalidParameterError, match=f"^{name} must have an attribute steps_per_ep"):
        fit(**{name: source})


@pytest.mark.parametrize("name", ["source", "validation"])
@pytest.mark.parametrize(
    "made, message",
    [
        (None, "a tuple of tensors, .* it returned None"),
        (torch.ones(4, 1), "a tuple of tensors"),
        ((), r"a tuple of tensors, .* it returned \(\)"),
        ((X,), "a tuple of tensors"),
        ((torch.ones(4, 1), None), "a tuple of tensors"),
        ((torch.tensor(1.0),), "a tuple of tensors"),
        ({"x": torch.ones(4, 1)}, "a tuple of tensors"),
        ((torch.ones(0, 1),), r"at least one; it returned \[0\]"),
        ((torch.ones(4, 1), torch.ones(3, 1)), r"same number .* it returned \[3, 4\]"),
    ],
)
def test_an_odd_batch_is_named(name, made, message):
    with pytest.raises(InvalidParameterError, match=rf"^{name}\.batch\(step\) must .*{message}"):
        fit(**{name: Source(made)})


def test_a_module_has_weights_to_train():
    with pytest.raises(InvalidParameterError, match=r"^module must have weights to train"):
        fit(module=torch.nn.Linear(1, 1).requires_grad_(False))
