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
    "EX01": "asked for below: a method may be shown where its class is",
}

# What has a source names it; here there is none.
OURS = {
    "denoise.Denoiser": "a base class",
    "denoise.SupervisedDenoiser": "a base class",
    "denoise.GaussianDenoiser": "scipy.ndimage's, as an estimator",
    "denoise.LoGRenderDenoiser": "a yardstick of ours",
    "denoise.MatchedDenoiser": "ours",
    "datasets.make_scene": "the specimens of our simulators",
    "degradation.record": "our simulators' last step",
    "damage.fit_critical_dose": "least squares, by variable projection",
    "damage.mean_over_specimen": "ours",
    "damage.normalize_pair": "ours",
    "damage.synthetic_batch": "ours",
    "drift.AlignedStack": "an ndarray with a mask",
    "drift.LowConfidenceWarning": "ours",
    "drift.Motion": "algebra of transforms",
    "drift.coverage": "algebra of transforms",
    "drift.warp": "scipy.ndimage's interpolation",
    "drift.reconcile": "ours",
    "drift.register": "ours; what it replaces stands in DriftDecayModel",
    "localize.AtomLocator": "ours: least squares on maxima of a Laplacian of Gaussian",
    "metrics.atom_f1": "the textbook's, of positions",
    "metrics.atom_score": "the textbook's, of positions",
    "metrics.get_scorer": "finds others",
    "metrics.get_scorer_names": "finds others",
    "metrics.gradient_correlation": "the textbook's, of gradients",
    "metrics.psnr": "the textbook's",
    "networks.rename_released": "renames weights",
    "registration.align_stack": "scipy.ndimage's interpolation",
    "registration.frame_pairs": "ours",
    "registration.motions_from_table": "algebra of transforms",
    "registration.trajectory_table": "algebra of transforms",
    "noise.FrameNoise": "a base class",
    "noise.LineGain": "ours",
    "noise.Saturation": "ours",
    "noise.ShotNoise": "Poisson's law",
    "noise.SlowBackground": "ours",
    "noise.functional.gaussian_noise": "the normal law",
    "noise.functional.line_gain": "ours",
    "noise.functional.saturate": "ours",
    "noise.functional.shift_rows": "cubic interpolation",
    "noise.functional.shot_noise": "Poisson's law",
    "noise.functional.slow_background": "ours",
}
# Parts that follow no method: plumbing, files and figures.
PLUMBING = ("engine", "inspection", "io", "utils")


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


def said_by_the_type(name):
    """Say whether what returns is itself, or frames whose shape stands there: no more is due."""
    owner = name.split(".")[-2]
    return all(
        "".join(entry.desc).strip() or "shape" in entry.type or entry.type in ("self", owner)
        for entry in get_doc_object(THINGS[name])["Returns"]
    )


@every_thing
def test_numpydoc_finds_nothing_wrong(name):
    found = [error for error in validate(name)["errors"] if error[0] not in OFF]
    if is_made_by_others(THINGS[name]):
        found = [error for error in found if error[0] != "PR01"]
    if said_by_the_type(name):
        found = [error for error in found if error[0] != "RT03"]
    assert not found


@pytest.mark.parametrize("name", [name for name in THINGS if not is_method(name)])
def test_functions_and_classes_show_an_example(name):
    doc = get_doc_object(THINGS[name])
    assert is_made_by_others(THINGS[name]) or ">>> " in "\n".join(doc["Examples"])


def shown(name):
    """Give the examples of a method, its class and all classes that inherit it."""
    method = inspect.unwrap(THINGS[name])
    texts = [*get_doc_object(THINGS[name])["Examples"]]
    for thing in filter(inspect.isclass, THINGS.values()):
        there = getattr(thing, method.__name__, None)
        if inspect.unwrap(getattr(there, "__func__", there)) is method:
            texts += get_doc_object(thing)["Examples"]
    return "\n".join(texts)


@pytest.mark.parametrize("name", [name for name in THINGS if is_method(name)])
def test_methods_are_shown_at_work(name):
    method = name.rpartition(".")[2]
    if method == "from_checkpoint":
        pytest.skip("reads files that the papers' authors released, and that can't be shipped")
    if method == "forward":
        assert re.search(r">>> .*(\)|net|network)\(", shown(name))  # a module is called itself
        return
    also = {"fit": "fit_transform", "transform": "fit_transform"}.get(method, method)
    assert re.search(rf"(>>>|\.\.\.) .*\.({method}|{also})\(", shown(name)) or is_a_protocol(name)


def is_a_protocol(name):
    return getattr(THINGS[name.rpartition(".")[0]], "_is_protocol", False)


@pytest.mark.parametrize("name", [name for name in THINGS if not is_method(name)])
def test_source_is_named_where_there_is_one(name):
    short = name.removeprefix("stemkit.")
    if short.startswith(PLUMBING):
        return
    has_source = bool(get_doc_object(THINGS[name])["References"])
    made_by_others = is_made_by_others(THINGS[name])
    assert has_source or made_by_others or short in OURS
    assert not (has_source and short in OURS)


def test_no_more_is_ours_than_there_is():
    assert {f"stemkit.{name}" for name in OURS} <= THINGS.keys()


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
