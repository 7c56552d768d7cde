import pytest
import torch

from stemkit.engine import pick_device, pick_precision
from stemkit.exceptions import InvalidParameterError


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7 + device.index, 0))


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.mark.parametrize(
    "asked, given",
    [
        ("auto", "cuda:0"),
        ("cpu", "cpu"),
        ("cuda", "cuda:0"),
        ("cuda:1", "cuda:1"),
        (1, "cuda:1"),
        (torch.device("cuda", 1), "cuda:1"),
    ],
)
@pytest.mark.usefixtures("two_gpus")
def test_device_is_found(asked, given):
    assert pick_device(asked) == torch.device(given)


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_auto_is_the_cpu():
    assert pick_device("auto") == torch.device("cpu")


@pytest.mark.parametrize("asked", ["cuda", "cuda:3", 2])
@pytest.mark.usefixtures("no_gpu")
def test_gpu_that_is_not_available_is_named(asked):
    with pytest.raises(ValueError, match=f'device={asked!r} is not available.*Use "auto" or "cpu"'):
        pick_device(asked)


@pytest.mark.parametrize("asked", ["gpu", "meta", 10**30])
def test_an_invalid_device_is_named(asked):
    with pytest.raises(ValueError, match=f"device={asked!r} is not"):
        pick_device(asked)


@pytest.mark.parametrize("asked", [-1, 2.5, True, None, [0]])
def test_values_that_can_be_no_device_are_named(asked):
    with pytest.raises(InvalidParameterError, match=r"^device must be a device such as"):
        pick_device(asked)
    with pytest.raises(InvalidParameterError, match=r"^device must be a device"):
        pick_precision("auto", asked)


@pytest.mark.usefixtures("two_gpus")
def test_auto_precision_is_bfloat16_where_the_hardware_has_it():
    assert pick_precision("auto", torch.device("cpu")) == "32-true"
    assert pick_precision("auto", torch.device("cuda", 0)) == "32-true"
    assert pick_precision("auto", torch.device("cuda", 1)) == "bf16-mixed"
    assert pick_precision("bf16-mixed", torch.device("cpu")) == "bf16-mixed"
