"""Descriptions of arrays and objects, and the parameters of a fit that are compared."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from stemkit.datasets import NucleationStream
from stemkit.engine import _fingerprint as fingerprint
from stemkit.engine import fit_parameters
from stemkit.engine._fingerprint import UNUSED_IN_FIT, describe
from stemkit.exceptions import InvalidParameterError
from stemkit.noise import HRTEMNoise

from .described import ARRAY, OneSlot, Plain, SlottedChild, Tensors, changed, closure, of


class Described(Plain):
    def fingerprint(self):
        return {"only": self.only}


def with_gaps(array):
    larger = np.full([2 * n for n in array.shape], -1, array.dtype)
    larger[::2, ::2, ::2] = array
    return larger[::2, ::2, ::2]


def test_the_layout_in_memory_does_not_matter():
    assert of(ARRAY) == of(np.asfortranarray(ARRAY)) == of(with_gaps(ARRAY))
    assert of(ARRAY[:, ::-1]) == of(np.ascontiguousarray(ARRAY[:, ::-1]))
    assert of(ARRAY.transpose(2, 0, 1)) == of(ARRAY.transpose(2, 0, 1).copy())
    assert of(torch.from_numpy(ARRAY)) == of(ARRAY)
    assert of(torch.from_numpy(ARRAY).permute(2, 0, 1)) == of(ARRAY.transpose(2, 0, 1))
    assert of(torch.ones(2, requires_grad=True)) == of(torch.ones(2))


def test_values_under_a_mask_do_not_matter():
    mask = [True, False]
    assert of(np.ma.MaskedArray([1, 2], mask)) == of(np.ma.MaskedArray([3, 2], mask))


def test_the_mode_of_a_module_does_not_matter():
    assert of(Tensors().eval()) == of(Tensors().train())


def test_numbers_of_the_same_value_are_described_alike():
    assert of(2) == of(2.0) == of(np.int8(2)) == of(np.float32(2))
    assert of(True) == of(np.True_)
    assert of((1, 2)) == of([1, 2])


def test_all_pieces_of_a_big_array_are_hashed(monkeypatch, tmp_path):
    array = np.random.default_rng(0).normal(size=(50, 7, 3))
    whole = of(array)
    monkeypatch.setattr(fingerprint, "_CHUNK", 1000)
    assert of(array) == whole
    for index in (0, 24, 49):
        assert of(changed(array, (index, 6, 2), 0)) != whole
    np.save(tmp_path / "array.npy", array)
    assert of(np.load(tmp_path / "array.npy", mmap_mode="r")) == whole
    # A single row that is larger than a piece.
    assert of(array[None]) != whole
    assert of(array[None]) == of(array[None].copy())


def test_a_memory_map_is_read_in_pieces(monkeypatch):
    sizes = []
    plain = np.ascontiguousarray

    def recorded(rows):
        sizes.append(rows.nbytes)
        return plain(rows)

    monkeypatch.setattr(fingerprint, "_CHUNK", 1000)
    monkeypatch.setattr(np, "ascontiguousarray", recorded)
    of(np.zeros((50, 10)))
    assert max(sizes) <= 1000
    assert sum(sizes) == 4000
    # Rows that are larger than a piece, one at a time.
    sizes.clear()
    of(np.zeros((6, 150)))
    assert sizes == [1200] * 6


def test_pieces_of_a_big_memory_map_take_little_memory(monkeypatch):
    sizes = []

    def recorded(rows):
        sizes.append(rows.nbytes)
        return np.zeros(1)

    monkeypatch.setattr(np, "ascontiguousarray", recorded)
    of(np.broadcast_to(np.float32(0), (2000, 1000, 1000)))  # 8 GB, of which one number is stored
    assert sum(sizes) == 8e9
    assert max(sizes) < 100e6
    assert min(sizes[:-1]) > 10e6  # few pieces, which take little time


def test_cycles_end():
    ring = Plain()
    ring.ring = ring
    assert of(ring)["x.ring"] == "the Plain that contains it"
    items = [1]
    items.append({"items": items})
    assert of(items)["x.1.items"] == "the list that contains it"
    items = [1]
    items.append(items)
    assert "the list that contains it" in of(items).values()
    module = Tensors()
    module.activation = module.forward
    module.settings = Plain(owners=[module])
    assert of(module) == of(module)

    def recursive(n):
        return n and recursive(n - 1)

    assert "function that contains it" in str(of(recursive))


def test_a_value_that_occurs_twice_is_described_twice():
    part = Plain(a=1)
    found = of([part, part])
    assert found["x.0.a"] == found["x.1.a"] == "1"


def test_an_object_may_describe_itself():
    assert of(Described(only=1, other=2)) == of(Described(only=1, other=3))
    assert of(Described(only=1)) != of(Described(only=2))
    assert of(Described) != of(Plain)  # its class has the method, too


def test_names_lead_to_the_part_that_differs():
    noise = make_pipeline(HRTEMNoise(gain=0.1), Ridge())
    found = describe({"noise": noise, "factor": closure([1, 2]), "network": {"n_channels": 4}})
    assert found["network.n_channels"] == "4"
    assert of(SlottedChild(1, 2))["x.more"] == of(OneSlot(2))["x.value"] == "2"
    assert found["factor.factor"] == "(1, 2)"
    assert any(key.startswith("noise.steps.0") and key.endswith("gain") for key in found)


def test_entries_stay_few_and_short():
    found = of([list(range(10_000)), np.zeros(10**6), pd.DataFrame({"a": ["x"] * 1000})])
    assert len(found) < 10
    assert max(map(len, found.values())) < 100


def test_hardware_and_progress_are_left_out():
    values = dict.fromkeys(UNUSED_IN_FIT, 1)
    assert of(Plain(a=1, **values)) == of(Plain(a=1))


def test_fit_parameters_are_all_but_those_compared_elsewhere():
    model = HRTEMNoise(gain=0.1, random_state=3)
    names = set(model.get_params()) - {"random_state"}
    found = fit_parameters(model, dose=7)
    assert found.keys() == {"estimator", "dose"} | names
    assert found["estimator"] is HRTEMNoise
    assert found["dose"] == 7


class WithHardware(Ridge):
    """An estimator with parameters that do not affect its fit; `pause` is declared by the class."""

    _unused_in_fit = frozenset({"pause"})

    def __init__(self, alpha=1.0, checkpoint_dir=None, device="auto", pause=0.0, verbose=0):
        super().__init__(alpha=alpha)
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.pause = pause
        self.verbose = verbose


class WithoutOwn(WithHardware):
    _unused_in_fit = frozenset()


def test_fit_parameters_leave_out_what_cannot_change_the_fit():
    assert fit_parameters(WithHardware()).keys() == {"estimator", "alpha"}
    assert fit_parameters(WithoutOwn()).keys() == {"estimator", "alpha", "pause"}


def test_the_seed_of_a_stream_is_not_compared():
    # `make_batch` draws from the generator that it is given.
    streams = [NucleationStream(random_state=seed) for seed in (0, 1)]
    assert of(streams[0].make_batch) == of(streams[1].make_batch)
    assert of(streams[0]) != of(streams[1])


@pytest.mark.parametrize("value", [None, {}, 3, HRTEMNoise])
def test_an_object_that_is_not_an_estimator_is_named(value):
    with pytest.raises(
        InvalidParameterError, match=r"^estimator must be an object with get_params"
    ):
        fit_parameters(value)
