"""What is public is documented as numpydoc asks: shapes, units, defaults, errors and an example."""

import ast
import importlib
import inspect
import re

import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate

import stemkit

# numpydoc's checks that are off; all others are on.
OFF = {
    "ES01": "a summary that says all there is to say needs nothing after it",
    "SA01": "not everything has a relative; where it has, SA02 to SA04 look at how it is named",
    "RT03": "the line of the type gives shape and dtype, and the summary what it is",
    "EX01": "asked for below, of functions and classes: a method is shown where its class is",
}


def public_things():
    """Give each public function, class and method of ours once, with its full name."""
    names = [name for name in stemkit.__all__ if inspect.ismodule(getattr(stemkit, name))]
    things = {}
    for module in (*names, "noise.functional"):
        offered = importlib.import_module(f"stemkit.{module}")
        for name in offered.__all__:
            thing = getattr(offered, name)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                things.setdefault(thing, f"stemkit.{module}.{name}")
            if inspect.isclass(thing):
                for key, method in inspect.getmembers(thing, inspect.isroutine):
                    module_of = getattr(inspect.unwrap(method), "__module__", None) or ""
                    if module_of.startswith("stemkit") and not key.startswith("_"):
                        function = getattr(method, "__func__", method)
                        things.setdefault(function, f"stemkit.{module}.{name}.{key}")
    return {name: thing for thing, name in things.items()}


THINGS = public_things()
every_thing = pytest.mark.parametrize("name", THINGS)


def is_method(name):
    return inspect.isclass(THINGS.get(name.rpartition(".")[0]))


def is_made_by_others(thing):
    """Say whether this is what a function gives, a warning or a protocol: no user makes one."""
    doc = get_doc_object(thing)
    return inspect.isclass(thing) and (
        bool(doc["Attributes"] and not doc["Parameters"])
        or issubclass(thing, Warning)
        or getattr(thing, "_is_protocol", False)
    )


def documented(thing):
    """Give the type of each parameter, and its default where that is a plain value."""
    for entry in get_doc_object(thing)["Parameters"]:
        names = [name.strip(" *") for name in entry.name.split(",")]
        written = re.search(r"default=(.*)", entry.type)
        values = [written[1] if written else None] * len(names)
        if written and len(names) > 1:
            # one value for all, or one for each
            each = re.split(r", | and ", written[1])
            values = each if len(each) == len(names) else values
        for name, value in zip(names, values, strict=True):
            yield name, entry.type, value


def test_everything_is_looked_at():
    assert len(THINGS) > 150
    assert "stemkit.drift.DriftDecayModel.predict" in THINGS
    assert "stemkit.noise.functional.hrtem_noise" in THINGS


@every_thing
def test_numpydoc_finds_nothing_wrong(name):
    found = [error for error in validate(name)["errors"] if error[0] not in OFF]
    if is_made_by_others(THINGS[name]):
        found = [error for error in found if error[0] != "PR01"]
    assert not found


@pytest.mark.parametrize("name", [name for name in THINGS if not is_method(name)])
def test_functions_and_classes_show_an_example(name):
    doc = get_doc_object(THINGS[name])
    assert is_made_by_others(THINGS[name]) or ">>> " in "\n".join(doc["Examples"])


@every_thing
def test_defaults_are_those_of_the_code(name):
    if is_made_by_others(THINGS[name]):
        return
    parameters = inspect.signature(THINGS[name]).parameters
    for parameter, kind, value in documented(THINGS[name]):
        if parameter not in parameters:
            continue
        default = parameters[parameter].default
        may_be_left_out = "optional" in kind or "default=" in kind
        assert may_be_left_out == (default is not inspect.Parameter.empty), parameter
        try:
            written = ast.literal_eval(value)
        except (SyntaxError, ValueError, TypeError):
            continue  # in words, as "identity"
        if isinstance(default, (int, float, str, tuple)):
            assert written == default, parameter


@every_thing
def test_arrays_have_a_shape(name):
    doc = get_doc_object(THINGS[name])
    for entry in doc["Parameters"] + doc["Returns"]:
        if re.match(r"(array|ndarray|memmap|Tensor|torch\.Tensor)", entry.type):
            assert re.search(r"shape|Axes|dimensions", entry.type), entry


@every_thing
def test_what_raises_says_so(name):
    thing = THINGS[name]
    if inspect.isfunction(thing) and not inspect.isabstract(thing):
        source = inspect.getsource(thing)
        if re.search(r"\braise \w+Error|(?<!\w)check_(?!resumable)\w+\(", source):
            assert get_doc_object(thing)["Raises"]
