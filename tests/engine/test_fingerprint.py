"""Values that compute alike are described alike, all others differently."""

import decimal
import functools
import json
import operator
import os
import random
import re
import subprocess
import sys
from dataclasses import dataclass, field
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stemkit.datasets import NucleationStream
from stemkit.engine import _fingerprint as fingerprint
from stemkit.engine import fit_parameters
from stemkit.engine._fingerprint import UNUSED_IN_FIT, describe
from stemkit.exceptions import InvalidParameterError
from stemkit.noise import HRTEMNoise

ARRAY = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def of(value):
    return describe({"x": value})


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


# Functions and classes of a user.

GAIN = 2.0
TABLE = {"gain": [1.0, 2.0]}


def closure(factor):
    return lambda frames: frames * factor


def nested_closure(factor):
    def outer(frames):
        return [frame * factor for frame in frames]

    return functools.partial(map, outer)


def with_default(default):
    def scale(frames, factor=default, *, offset=0):
        return frames * factor + offset

    return scale


def with_keyword_default(default):
    def scale(frames, *, factor=default):
        return frames * factor

    return scale


def uses_global(frames):
    return frames * GAIN


def uses_global_in_inner_function(frames):
    return [(lambda: frame * GAIN)() for frame in frames]


def uses_table(frames):
    return frames * TABLE["gain"][0]


def calls_another(frames):
    return uses_global(frames)


class Plain:
    scale = 1.0

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def double(self, frames):
        return 2 * frames


class Slotted:
    __slots__ = ("__hidden", "value")

    def __init__(self, value, hidden=0):
        self.value = value
        self.__hidden = hidden


class ChildWithDict(Slotted):
    pass


class OneSlot:
    __slots__ = "value"

    def __init__(self, value):
        self.value = value


class SlottedChild(Slotted):
    __slots__ = ("more",)

    def __init__(self, value, more):
        super().__init__(value)
        self.more = more


@dataclass
class Settings:
    values: list = field(default_factory=list)
    gain: float = 1.0


def class_with(method=lambda self: 1, constant=0, member=None):
    return type("Made", (), {"method": method, "constant": constant, "member": member})


class Described(Plain):
    def fingerprint(self):
        return {"only": self.only}


class Tensors(torch.nn.Module):
    def __init__(self, activation=torch.relu, settings=None, weight=1.0, dilation=1):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Conv2d(1, 1, 3, dilation=dilation)])
        self.layers.requires_grad_(False)
        for parameter in self.parameters():
            parameter.fill_(weight)
        self.activation = activation
        self.settings = settings

    def forward(self, x):
        return self.activation(self.layers[0](x))


def with_attribute(thing, **attributes):
    for name, value in attributes.items():
        setattr(thing, name, value)
    return thing


def generator(seed, n_drawn=0):
    made = np.random.default_rng(seed)
    made.random(n_drawn)
    return made


def random_state(seed, n_drawn=0):
    made = np.random.RandomState(seed)
    made.random(n_drawn)
    return made


def torch_generator(seed, n_drawn=0):
    made = torch.Generator().manual_seed(seed)
    torch.rand(n_drawn, generator=made)
    return made


def python_random(seed, n_drawn=0):
    made = random.Random(seed)
    [made.random() for _ in range(n_drawn)]
    return made


# Name of the case: values of which each is described in its own way.
DIFFERENT = {
    "numbers": [
        0,
        1,
        0.5,
        np.nextafter(0.5, 1),
        np.inf,
        np.nan,
        1j,
        2**70,
        2**70 + 1,
        np.float32(0.1),
    ],
    "booleans and nothing": [True, False, None, "None", "True", 1, b"1", "1"],
    "arrays of other values": [ARRAY, changed(ARRAY, (1, 2, 3), 0), ARRAY[::-1], ARRAY[:, ::-1]],
    "arrays of other shapes": [ARRAY, ARRAY.ravel(), ARRAY.reshape(3, 2, 4), ARRAY[None]],
    "arrays of other dtypes": [ARRAY * 0, ARRAY.astype(np.float64) * 0, ARRAY.astype(np.int32) * 0],
    "empty arrays": [
        np.zeros((0, 3)),
        np.zeros((0, 4)),
        np.zeros((0, 3), np.float32),
        np.array(0.0),
    ],
    "arrays of texts": [np.array(["a", "b"]), np.array(["a", "c"]), np.array(["a", "bc"])],
    "arrays of objects": [
        np.array([1, "a"], object),
        np.array([1, "b"], object),
        np.array([None, "b"]),
    ],
    "masked arrays": [
        np.ma.MaskedArray(ARRAY[0, 0], [0, 0, 0, 1]),
        np.ma.MaskedArray(ARRAY[0, 0], [0, 0, 1, 0]),
        np.ma.MaskedArray(ARRAY[0, 0] + 1, [0, 0, 0, 1]),
        ARRAY[0, 0],
    ],
    "structured arrays": [
        np.array([(1, 2.0)], [("a", int), ("b", float)]),
        np.array([(1, 3.0)], [("a", int), ("b", float)]),
        np.array([(1, 2.0)], [("a", int), ("c", float)]),
    ],
    "tensors": [
        torch.zeros(3),
        torch.ones(3),
        torch.zeros(3, dtype=torch.bfloat16),
        torch.ones(3, dtype=torch.bfloat16),
        torch.zeros(3, 1),
        torch.zeros(3, dtype=torch.int64),
        torch.eye(3).to_sparse(),
        torch.tensor([1 + 1j]),
        torch.tensor([1 + 1j]).conj(),
    ],
    "long lists": [list(range(40)), [*range(39), 0], list(range(41)), [*range(39), "39"]],
    "nested lists": [[1, [2, 3]], [1, [2, 4]], [[1, 2], 3], [1, 2, 3]],
    "lists with arrays": [[1, ARRAY], [1, ARRAY + 1], [ARRAY, 1]],
    "mappings": [{"a": 1}, {"a": 2}, {"b": 1}, {"a": 1, "b": 1}, {"a": {"b": 1}}, {}],
    "sets": [{"a", "b"}, {"a", "c"}, frozenset({"a", "b"}), {1, 2}, set()],
    "objects of the standard library": [
        range(3),
        range(4),
        slice(1, 2),
        slice(1, 3),
        decimal.Decimal("0.1"),
        decimal.Decimal("0.2"),
        operator.itemgetter(0),
        operator.itemgetter(1),
        re.compile("a"),
        re.compile("b"),
    ],
    "builtin functions": [np.sqrt, np.log, np.mean, torch.relu, torch.tanh, len, abs],
    "dtypes and devices": [np.dtype("f4"), np.dtype("f8"), torch.float16, torch.device("cuda", 1)],
    "functions with a closure": [closure(1.0), closure(2.0), closure(ARRAY), closure(closure(1.0))],
    "inner functions with a closure": [nested_closure(1.0), nested_closure(2.0)],
    "closures over functions": [closure(closure(1.0)), closure(closure(2.0))],
    "functions of other code": [
        lambda x: x + 1,
        lambda x: x + 2,
        lambda x: x - 1,
        lambda y: y + 1,
        lambda x: [z + 1 for z in x],
        lambda x: [z + 2 for z in x],
    ],
    "defaults": [
        with_default(1),
        with_default(2),
        with_keyword_default(1),
        with_keyword_default(2),
    ],
    "partials": [
        functools.partial(uses_global, 1),
        functools.partial(uses_global, 2),
        functools.partial(uses_global, frames=1),
        functools.partial(uses_global, frames=2),
        functools.partial(uses_table, 1),
        functools.partial(functools.partial(uses_global, 1), 2),
    ],
    "objects": [
        Plain(),
        Plain(a=1),
        Plain(a=2),
        Plain(b=1),
        Plain(a=Plain(a=1)),
        Plain(a=Plain(a=2)),
    ],
    "objects with slots": [
        Slotted(1),
        Slotted(2),
        Slotted(1, hidden=1),
        SlottedChild(1, 1),
        SlottedChild(1, 2),
        SlottedChild(2, 1),
        with_attribute(ChildWithDict(1), more=1),
        with_attribute(ChildWithDict(2), more=1),
        with_attribute(ChildWithDict(1), more=2),
        OneSlot(1),
        OneSlot(2),
    ],
    "dataclasses": [Settings(), Settings([1]), Settings(gain=2.0)],
    "classes": [
        class_with(),
        class_with(method=lambda self: 2),
        class_with(constant=1),
        class_with(member=property(lambda self: 1)),
        class_with(member=property(lambda self: 2)),
        class_with(member=functools.cached_property(lambda self: 1)),
        class_with(member=functools.cached_property(lambda self: 2)),
        class_with(member=classmethod(lambda cls: 3)),
        class_with(member=staticmethod(lambda: 4)),
        Plain,
        Slotted,
    ],
    "instances of these classes": [
        class_with()(),
        class_with(method=lambda self: 2)(),
        class_with(constant=1)(),
    ],
    "bound methods": [
        Plain(a=1).double,
        Plain(a=2).double,
        Plain(a=1).__init__,
        HRTEMNoise(gain=0.1).transform,
        HRTEMNoise(gain=0.2).transform,
    ],
    "NumPy's generators": [generator(0), generator(1), generator(0, n_drawn=1)],
    "NumPy's random states": [random_state(0), random_state(1), random_state(0, n_drawn=1)],
    "torch's generators": [torch_generator(0), torch_generator(1), torch_generator(0, n_drawn=1)],
    "Python's generators": [python_random(0), python_random(1), python_random(0, n_drawn=1)],
    "seed sequences": [np.random.SeedSequence(0), np.random.SeedSequence(1)],
    "tables": [
        pd.DataFrame({"a": [1, 2], "b": [3, 4]}),
        pd.DataFrame({"a": [1, 2], "b": [3, 5]}),
        pd.DataFrame({"a": [1, 2], "c": [3, 4]}),
        pd.DataFrame({"a": [1, 2], "b": ["3", "4"]}),
        pd.DataFrame({"a": [1, 2], "b": ["3", "5"]}),
        pd.Series([1, 2]),
        pd.Series([1, 3]),
    ],
    "estimators": [
        Ridge(),
        Ridge(alpha=2.0),
        make_pipeline(StandardScaler(), Ridge()),
        make_pipeline(StandardScaler(), Ridge(alpha=2.0)),
        make_pipeline(StandardScaler(with_mean=False), Ridge()),
        HRTEMNoise(),
        HRTEMNoise(gain=0.1),
        HRTEMNoise(random_state=1),
    ],
    "modules": [
        Tensors(),
        Tensors(weight=2.0),
        Tensors(dilation=2),
        Tensors(activation=torch.tanh),
        Tensors(activation=closure(1.0)),
        Tensors(activation=closure(2.0)),
        with_attribute(Tensors(), _scale=1),
        with_attribute(Tensors(), _scale=2),
        Tensors(settings=Settings()),
        Tensors(settings=Settings([1])),
        Tensors(settings=list(range(20))),
        Tensors(settings=list(range(1, 21))),
        torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Tanh()),
        torch.nn.Sequential(torch.nn.Tanh(), torch.nn.ReLU()),
    ],
}


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=DIFFERENT)
def test_different_values_are_described_differently(values):
    described = [json.dumps(of(value), sort_keys=True) for value in values]
    for index, description in enumerate(described):
        assert description not in described[:index], values[index]


def with_gaps(array):
    larger = np.full([2 * n for n in array.shape], -1, array.dtype)
    larger[::2, ::2, ::2] = array
    return larger[::2, ::2, ::2]


# Pairs of objects made apart from each other that compute the same.
ALIKE = {
    "array": lambda: ARRAY.copy(),
    "tensor": lambda: torch.zeros(2, 3),
    "closure": lambda: closure(ARRAY.copy()),
    "partial": lambda: functools.partial(uses_global, factor=ARRAY.copy()),
    "object": lambda: Plain(a=ARRAY.copy(), b=Plain(c=closure(2.0))),
    "slots": lambda: SlottedChild(1, [1, 2]),
    "class": lambda: class_with(method=lambda self: 1),
    "object that pickle cannot store": lambda: SimpleNamespace(items=iter([1])),
    "bound method": lambda: Plain(a=1).double,
    "generator": lambda: generator(3, n_drawn=2),
    "random state": lambda: random_state(3, n_drawn=2),
    "torch's generator": lambda: torch_generator(3, n_drawn=2),
    "Python's generator": lambda: python_random(3, n_drawn=2),
    "table": lambda: pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    "pipeline": lambda: make_pipeline(HRTEMNoise(random_state=0), Ridge()),
    "module": lambda: Tensors(settings=Settings([1])),
    "objects in a set": lambda: {SimpleNamespace, Plain, uses_global},
    "array of objects": lambda: np.array([Plain(a=1), {"b": 2}], dtype=object),
}


@pytest.mark.parametrize("make", ALIKE.values(), ids=ALIKE)
def test_equal_values_are_described_alike(make):
    assert of(make()) == of(make())


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
    assert min(sizes[:-1]) > 10e6  # and the number of pieces takes no time


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


def test_globals_that_a_function_uses_are_compared(monkeypatch):
    functions = [uses_global, uses_global_in_inner_function, calls_another, uses_table]
    before = [of(function) for function in functions]
    monkeypatch.setitem(globals(), "GAIN", 3.0)
    assert [of(function) == old for function, old in zip(functions, before, strict=True)] == [
        False,
        False,
        False,
        True,
    ]
    monkeypatch.setitem(TABLE, "gain", [1.0, 3.0])
    assert of(uses_table) != before[-1]


def test_a_decorated_function_is_described_by_its_own_code():
    def decorated(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)

        return wrapper

    assert of(decorated(closure(1.0))) != of(decorated(closure(2.0)))
    assert of(functools.lru_cache(closure(1.0))) != of(functools.lru_cache(closure(2.0)))


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
    """An estimator with parameters that cannot change its fit, one of them its own."""

    _unused_in_fit = frozenset({"pause"})

    def __init__(self, alpha=1.0, checkpoint_dir=None, device="auto", pause=0.0, verbose=0):
        super().__init__(alpha=alpha)
        self.checkpoint_dir = checkpoint_dir
        self.device = device
        self.pause = pause
        self.verbose = verbose


class WithoutOwn(WithHardware):
    _unused_in_fit = frozenset()


def test_code_of_installed_packages_is_not_compared():
    # Their functions are described by a name: a version changes much that changes no result.
    for function in (json.dumps, np.mean, HRTEMNoise.fit, functools.wraps):
        assert fingerprint._is_installed(function)
        assert not any(key.endswith("code") for key in of(function))
    for cls in (decimal.Decimal, np.ndarray, HRTEMNoise, int):
        assert fingerprint._is_installed(cls)
        assert "x.code" not in of(cls)
    assert fingerprint._is_installed(SimpleNamespace(__module__=None))
    for own in (uses_global, closure(1.0), Plain, Settings):
        assert not fingerprint._is_installed(own)
    assert "x.code" in of(uses_global)


def test_fit_parameters_leave_out_what_cannot_change_the_fit():
    assert fit_parameters(WithHardware()).keys() == {"estimator", "alpha"}
    assert fit_parameters(WithoutOwn()).keys() == {"estimator", "alpha", "pause"}


def test_the_seed_of_a_stream_is_not_compared():
    # `make_batch` draws from the generator that it is given.
    streams = [NucleationStream(random_state=seed) for seed in (0, 1)]
    assert of(streams[0].make_batch) == of(streams[1].make_batch)
    assert of(streams[0]) != of(streams[1])


SCRIPT = """
import functools, json
import numpy as np
import torch
from stemkit.engine._fingerprint import describe
from stemkit.noise import HRTEMNoise

UNITS = {"nm", "pm", "mm", "um", "m"}

class Noise:
    names = ("a", "b")
    def __init__(self):
        self.known = {"first", "second", "third", "fourth"}
        self.parts = frozenset({Noise, HRTEMNoise, len})
    def __call__(self, frames, unit="nm"):
        return frames if unit in {"nm", "pm", "mm", "um"} else [unit in UNITS for _ in frames]

noise = Noise()
values = {
    "object": noise,
    "function": lambda unit: unit in {"nm", "pm", "um"},
    "partial": functools.partial(noise.__call__, unit="pm"),
    "set of tuples": lambda unit: unit in {("nm", "pm"), ("um", "mm"), ("km",)},
    "module": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.ReLU()),
    "generator": np.random.default_rng(0),
    "array": np.arange(3.0),
    "estimator": HRTEMNoise(random_state=0),
    "bare object": object(),
    "iterator": iter([1]),
}
print(json.dumps(describe(values)))
"""


def test_another_process_describes_alike(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    outputs = []
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        outputs.append(subprocess.check_output([sys.executable, script], env=environment))
    assert len(set(outputs)) == 1
    found = json.loads(outputs[0])
    assert not [value for value in found.values() if re.search(r"0x[0-9a-f]{6}", value)]


@pytest.mark.parametrize("value", [None, {}, 3, HRTEMNoise])
def test_an_object_that_is_not_an_estimator_is_named(value):
    with pytest.raises(
        InvalidParameterError, match=r"^estimator must be an object with get_params"
    ):
        fit_parameters(value)


class Powered:
    """A loss of a user's own: its methods take a number and a function of this file."""

    def __call__(self, outputs, targets):
        return uses_global((outputs - targets) ** GAIN)


def test_globals_that_methods_use_are_compared(monkeypatch):
    for thing in (Powered, Powered()):
        before = of(thing)
        assert of(thing) == before
        with monkeypatch.context() as patch:
            patch.setitem(globals(), "GAIN", GAIN + 1)
            assert of(thing) != before
        with monkeypatch.context() as patch:
            patch.setitem(globals(), "uses_global", uses_table)
            assert of(thing) != before
        assert of(thing) == before


def test_members_of_the_users_modules_that_a_function_uses_are_compared(tmp_path, monkeypatch):
    content = "POWER = 2\n\ndef lossf(x):\n    return x ** POWER\n"
    (tmp_path / "users_helpers.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    helpers = import_module("users_helpers")
    monkeypatch.setitem(globals(), "users_helpers", helpers)

    def by_global(outputs, targets):
        return users_helpers.lossf(outputs - targets)  # noqa: F821

    def by_closure(outputs, targets):
        return helpers.lossf(outputs - targets)

    for loss in (by_global, by_closure):
        before = of(loss)
        with monkeypatch.context() as patch:
            patch.setattr(helpers, "POWER", 3)
            assert of(loss) != before
        assert of(loss) == before
        with monkeypatch.context() as patch:
            patch.setattr(helpers, "lossf", lambda x: abs(x))
            assert of(loss) != before
