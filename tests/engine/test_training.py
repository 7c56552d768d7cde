import itertools
import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stemkit.engine import ArraySource, StreamSource, fit_module, learning_rate
from stemkit.exceptions import InvalidParameterError

X = np.linspace(-1, 1, 24, dtype=np.float32)[:, None]


def make_line(weight=0.0, bias=0.0):
    line = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(line.weight, weight)
    torch.nn.init.constant_(line.bias, bias)
    return line


def squared_error(module, batch):
    return (module(batch[0]) - batch[1]).square().mean()


def fit(module, loss=squared_error, source=None, **settings):
    source = source or ArraySource(X, 2 * X + 1, batch_size=8)
    return fit_module(module, loss, source, device="cpu", **{"max_steps": 12} | settings)


# Learning rate and optimiser


@given(
    warmup_steps=st.integers(0, 20),
    more=st.integers(1, 200),
    lr=st.floats(1e-6, 10),
    data=st.data(),
)
def test_learning_rate_is_torchs_linear_and_cosine_schedule(warmup_steps, more, lr, data):
    max_steps = warmup_steps + more
    step = data.draw(st.integers(0, max_steps - 1))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    if step < warmup_steps:
        expected = lr * (step + 1) / warmup_steps
    else:
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=more)
        # the default form is a recursion over steps; the test uses the closed form
        schedule.last_epoch = step - warmup_steps
        expected = schedule._get_closed_form_lr()[0]
    given_rate = learning_rate(step, lr=lr, max_steps=max_steps, warmup_steps=warmup_steps)
    assert given_rate == pytest.approx(expected)


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"step": -1}, "step must be an int of at least 0"),
        ({"step": 10}, "step must be less than max_steps=10; got 10"),
        ({"lr": np.nan}, "lr must be a finite number above 0"),
        ({"lr": [1, 2]}, "lr must be a finite number above 0"),
        ({"max_steps": None}, "max_steps must be an int of at least 1"),
        ({"warmup_steps": -np.inf}, "warmup_steps must be an int of at least 0"),
    ],
)
def test_arguments_of_the_learning_rate_are_checked(changed, message):
    good = {"step": 3, "lr": 0.1, "max_steps": 10, "warmup_steps": 5}
    with pytest.raises(ValueError, match=message):
        learning_rate(**(good | changed))


@pytest.mark.parametrize("loss", [int, lambda module: module, None])
def test_the_loss_takes_a_module_and_a_batch(loss):
    with pytest.raises(ValueError, match=r"^loss must be a function .* with \(module, batch\)"):
        fit(make_line(), loss=loss)


@pytest.mark.parametrize("name", ["source", "validation", "fabric", "fingerprint"])
def test_a_fit_names_an_object_of_another_kind(name):
    with pytest.raises(InvalidParameterError, match=f"^{name} must be"):
        fit(make_line(), **{name: range(3)})


def test_step_is_adamw_with_clipped_gradients():
    module, reference = make_line(), make_line()
    optimizer = torch.optim.AdamW(reference.parameters(), weight_decay=0.1)
    source = ArraySource(X, 2 * X + 1, batch_size=8, random_state=5)
    fit(module, source=source, lr=0.05, weight_decay=0.1, clip_norm=0.3, warmup_steps=3)
    for step in range(12):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, lr=0.05, max_steps=12, warmup_steps=3)
        optimizer.zero_grad()
        squared_error(reference, source.batch(step)).backward()
        torch.nn.utils.clip_grad_norm_(reference.parameters(), 0.3)
        optimizer.step()
    assert torch.equal(module.weight, reference.weight)
    assert torch.equal(module.bias, reference.bias)


def test_frozen_weights_stay():
    line = make_line(weight=7.0)
    line.weight.requires_grad_(False)
    fit(line, lr=0.1)
    assert line.weight.item() == 7.0
    assert line.bias.item() != 0.0


# History, validation and stopping


def test_history_has_a_row_an_epoch_and_means_over_samples():
    def loss(module, batch):
        value = module(batch[0]).sum() * 0 + batch[0].mean()
        return {"loss": value, "double": 2 * value}

    values = np.arange(10, dtype=np.float32)[:, None]
    result = fit(
        make_line(),
        loss,
        ArraySource(values, batch_size=4),
        validation=ArraySource(values + 1, batch_size=3),
        max_steps=7,
    )
    history = result.history
    assert list(history["epoch"]) == [0, 1, 2]
    assert list(history["step"]) == [3, 6, 7]
    # the last batch of an epoch has two samples, and each sample has the same weight
    np.testing.assert_allclose(history["train_loss"][:2], 4.5)
    np.testing.assert_allclose(history["train_double"][:2], 9)
    np.testing.assert_allclose(history["val_loss"], 5.5)
    assert history["seconds"].is_monotonic_increasing
    assert (result.n_steps, result.n_epochs) == (7, 3)


def test_best_weights_are_put_back_and_the_fit_stops():
    # the best weight for the validation data is passed during the fit towards 1
    way_point = ArraySource(X, 0.5 * X)
    line = make_line()
    result = fit(
        line, source=ArraySource(X, X), validation=way_point, max_steps=300, lr=0.05, patience=4
    )
    losses = result.history["val_loss"]
    assert result.best_epoch == losses.idxmin()
    assert result.n_epochs == result.best_epoch + 1 + 4
    assert result.n_steps < 300
    with torch.no_grad():
        now = squared_error(line, (torch.tensor(X), torch.tensor(0.5 * X))).item()
    assert now == pytest.approx(losses.min())


def test_without_patience_the_best_weights_are_put_back_too():
    line = make_line()
    result = fit(line, source=ArraySource(X, X), validation=ArraySource(X, 0 * X), lr=0.1)
    assert result.best_epoch == 0
    assert result.n_steps == 12
    assert abs(line.weight.item()) < 0.1


def test_validation_is_without_dropout_and_training_with_it():
    modes = []

    def loss(module, batch):
        modes.append((module.training, torch.is_grad_enabled()))
        return squared_error(module, batch)

    module = make_line().train()
    fit(module, loss, validation=ArraySource(X, X), max_steps=3)
    assert modes == [(True, True)] * 3 + [(False, False)] * 2
    assert not module.training


# Randomness


def noisy_fit(random_state, source=None):
    module = torch.nn.Sequential(make_line(0.3), torch.nn.Dropout(0.5))
    fit(module, source=source, lr=0.1, random_state=random_state)
    return module[0].weight.item()


def test_same_seed_same_weights_whatever_the_global_state():
    torch.manual_seed(0)
    first = noisy_fit(3)
    torch.manual_seed(1)
    assert noisy_fit(3) == first
    assert noisy_fit(4) != first


def test_global_random_state_is_untouched():
    module = torch.nn.Sequential(make_line(0.3), torch.nn.Dropout(0.5))
    diverging = make_line(float("nan"))
    stream = StreamSource(lambda generator: (generator.random((4, 1)),) * 2)
    ours, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    fit(module, source=stream)
    with pytest.raises(FloatingPointError):
        fit(diverging)
    assert torch.equal(ours, torch.get_rng_state())
    np.testing.assert_array_equal(numpys, np.random.get_state()[1])


# Sources


@given(
    n_samples=st.integers(1, 40),
    batch_size=st.integers(1, 50),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 5),
)
def test_each_sample_comes_once_an_epoch(n_samples, batch_size, seed, epoch):
    numbers = np.arange(n_samples)
    source = ArraySource(numbers, -numbers, batch_size=batch_size, random_state=seed)
    steps = range(epoch * source.steps_per_epoch, (epoch + 1) * source.steps_per_epoch)
    batches = [source.batch(step) for step in steps]
    assert all(torch.equal(x, -y) for x, y in batches)
    seen = torch.cat([x for x, _ in batches])
    assert sorted(seen.tolist()) == list(range(n_samples))
    assert all(len(x) == batch_size for x, _ in batches[:-1])


def test_epochs_differ_in_their_order():
    source = ArraySource(np.arange(64), batch_size=8)
    epochs = [[source.batch(8 * e + s)[0].tolist() for s in range(8)] for e in range(3)]
    assert all(a != b for a, b in itertools.combinations(epochs, 2))


def test_memory_map_is_read_row_by_row(tmp_path):
    class Watched(np.memmap):
        rows_read = 0

        def __getitem__(self, key):
            Watched.rows_read += len(key)
            return super().__getitem__(key)

    frames = Watched(tmp_path / "frames", np.float64, "w+", shape=(50, 2, 2))
    batch = ArraySource(frames, batch_size=4).batch(0)
    assert batch[0].dtype == torch.float32
    assert Watched.rows_read == 4


def test_stream_depends_on_seed_and_step_only():
    def make_batch(generator):
        return (generator.random(3),)

    def draw(step, seed=1):
        return StreamSource(make_batch, random_state=seed).batch(step)[0].tolist()

    assert draw(5) == draw(5)
    assert draw(5) != draw(6)
    assert draw(5) != draw(5, seed=2)


# Errors and console


@pytest.mark.parametrize("weight, became", [(float("nan"), "nan"), (1e30, "inf")])
def test_loss_that_is_not_finite_names_the_learning_rate(weight, became):
    line = make_line(weight)
    with pytest.raises(
        FloatingPointError, match=rf"loss became {became} at step 0.*use a lower lr"
    ):
        fit(line)


def test_gradient_that_is_not_finite_leaves_the_weights():
    def loss(module, batch):
        return module(batch[0] * 0).square().sum().sqrt()  # not differentiable at zero

    line = make_line()
    with pytest.raises(FloatingPointError, match="The gradient became nan"):
        fit(line, loss)
    assert line.weight.item() == 0.0


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"max_steps": 0}, "max_steps must be an int of at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every must be an int of at least 1"),
        ({"patience": 3}, "pass validation, too"),
        ({"precision": "16"}, "precision must be"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        fit(make_line(), **settings)


def test_loss_without_a_total_is_named():
    with pytest.raises(ValueError, match='one of them must be named "loss"'):
        fit(make_line(), lambda module, batch: {"error": squared_error(module, batch)})


def test_sources_raise_for_arguments_that_do_not_fit():
    with pytest.raises(ValueError, match=r"same number of samples.*\[2, 3\]"):
        ArraySource(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="batch_size"):
        ArraySource(np.zeros(2), batch_size=0)
    with pytest.raises(ValueError, match="steps_per_epoch"):
        StreamSource(lambda generator: (), steps_per_epoch=0)


def test_silent_unless_asked(capfd, caplog, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.INFO):
        fit(make_line(), precision="bf16-mixed")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
    assert not list(tmp_path.iterdir())
    fit(make_line(), verbose=1)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "12/12" in shown.err
    assert "train_loss" in shown.err


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32_weights():
    seen = []

    class Watched(torch.nn.Linear):
        def forward(self, x):
            result = super().forward(x)
            seen.append(result.dtype)
            return result

    line = Watched(1, 1)
    fit(line, precision="bf16-mixed")
    assert set(seen) == {torch.bfloat16}
    assert line.weight.dtype == torch.float32
