"""Values that give the same results have the same description, all others another one."""

import decimal
import functools
import json
import operator
import random
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stemkit.noise import HRTEMNoise

from .described import (
    ARRAY,
    OneSlot,
    Plain,
    Settings,
    Slotted,
    SlottedChild,
    Tensors,
    changed,
    closure,
    of,
    uses_global,
    uses_table,
)


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


class ChildWithDict(Slotted):
    pass


def class_with(method=lambda self: 1, constant=0, member=None):
    return type("Made", (), {"method": method, "constant": constant, "member": member})


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


# By name of the case: values that all have different descriptions.
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


# Functions whose results are separate objects that compute the same.
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
