"""Tests of public docstrings: numpydoc's rules, shapes, defaults, errors, sources and examples."""

import ast
import importlib
import inspect
import re

import pytest
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import validate

import stemkit

# Checks of numpydoc that are disabled; all others are enabled.
OFF = {
    "ES01": "a complete summary needs no extended summary",
    "SA01": "See Also is optional; SA02 to SA04 check its entries",
    "EX01": "tested below: the example of a class may show its methods",
}

# Names without a published source, and why. All others cite theirs.
WITHOUT_SOURCE = {
    "denoise.Denoiser": "a base class",
    "denoise.SupervisedDenoiser": "a base class",
    "denoise.GaussianDenoiser": "scipy.ndimage's, as an estimator",
    "denoise.LoGRenderDenoiser": "a baseline of ours",
    "denoise.MatchedDenoiser": "ours",
    "preprocessing.BadPixelRepair": "rules of its own",
    "preprocessing.inspect_frames": "rules of its own",
    "datasets.make_scene": "the specimens of our simulators",
    "degradation.record": "the last step of our simulators",
    "damage.decay_bands": "ours",
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
    "drift.register": "ours; DriftDecayModel cites the methods that it replaces",
    "localize.AtomLocator": "ours: least squares on maxima of a Laplacian of Gaussian",
    "metrics.atom_f1": "a textbook definition, for positions",
    "metrics.atom_score": "a textbook definition, for positions",
    "metrics.get_scorer": "returns other functions",
    "metrics.get_scorer_names": "returns other functions",
    "metrics.gradient_correlation": "a textbook definition, for gradients",
    "metrics.psnr": "a textbook definition",
    "networks.rename_released": "renames weights",
    "registration.align_rows": "scipy.linalg's least squares, on a spline",
    "registration.align_stack": "scipy.ndimage's interpolation",
    "registration.apply_motions": "scipy.ndimage's interpolation",
    "registration.frame_pairs": "ours",
    "registration.motions_from_table": "algebra of transforms",
    "registration.trajectory_table": "algebra of transforms",
    "noise.FrameNoise": "a base class",
    "noise.LineGain": "ours",
    "noise.Saturation": "ours",
    "noise.ShotNoise": "the Poisson distribution",
    "noise.SlowBackground": "ours",
    "noise.functional.gaussian_noise": "the normal distribution",
    "noise.functional.line_gain": "ours",
    "noise.functional.saturate": "ours",
    "noise.functional.shift_rows": "cubic interpolation",
    "noise.functional.shot_noise": "the Poisson distribution",
    "noise.functional.slow_background": "ours",
}
# Packages that implement no published method.
INFRASTRUCTURE = ("engine", "inspection", "io", "utils")


def find_public_objects():
    """Return each public function, class and method of stemkit once, by its full name."""
    names = [name for name in stemkit.__all__ if inspect.ismodule(getattr(stemkit, name))]
    objects = {}
    for module in (*names, "noise.functional"):
        offered = importlib.import_module(f"stemkit.{module}")
        for name in offered.__all__:
            obj = getattr(offered, name)
            if inspect.isfunction(obj) or inspect.isclass(obj):
                objects.setdefault(obj, f"stemkit.{module}.{name}")
            if inspect.isclass(obj):
                for key, method in inspect.getmembers(obj, inspect.isroutine):
                    module_of = getattr(inspect.unwrap(method), "__module__", None) or ""
                    if module_of.startswith("stemkit") and not key.startswith("_"):
                        function = getattr(method, "__func__", method)
                        objects.setdefault(function, f"stemkit.{module}.{name}.{key}")
    return {name: obj for obj, name in objects.items()}


PUBLIC = find_public_objects()
every_object = pytest.mark.parametrize("name", PUBLIC)


def is_method(name):
    return inspect.isclass(PUBLIC.get(name.rpartition(".")[0]))


def is_never_called(obj):
    """Return whether users do not create instances: results, warnings and protocols."""
    doc = get_doc_object(obj)
    return inspect.isclass(obj) and (
        bool(doc["Attributes"] and not doc["Parameters"])
        or issubclass(obj, Warning)
        or getattr(obj, "_is_protocol", False)
    )


def documented_parameters(obj):
    """Yield the name, the type and the default of each documented parameter."""
    for entry in get_doc_object(obj)["Parameters"]:
        names = [name.strip(" *") for name in entry.name.split(",")]
        documented = re.search(r"default=(.*)", entry.type)
        values = [documented[1] if documented else None] * len(names)
        if documented and len(names) > 1:
            # There is one default for all names, or one for each.
            each = re.split(r", | and ", documented[1])
            values = each if len(each) == len(names) else values
        for name, value in zip(names, values, strict=True):
            yield name, entry.type, value


def test_all_kinds_of_objects_are_found():
    assert len(PUBLIC) > 150
    assert "stemkit.drift.DriftDecayModel.predict" in PUBLIC
    assert "stemkit.noise.functional.hrtem_noise" in PUBLIC


def has_self_explanatory_returns(name):
    """Return whether no result lacks a description: self and types with a shape need none."""
    owner = name.split(".")[-2]
    return all(
        "".join(entry.desc).strip() or "shape" in entry.type or entry.type in ("self", owner)
        for entry in get_doc_object(PUBLIC[name])["Returns"]
    )


@every_object
def test_numpydoc_finds_no_errors(name):
    found = [error for error in validate(name)["errors"] if error[0] not in OFF]
    if is_never_called(PUBLIC[name]):
        found = [error for error in found if error[0] != "PR01"]
    if has_self_explanatory_returns(name):
        found = [error for error in found if error[0] != "RT03"]
    assert not found


@pytest.mark.parametrize("name", [name for name in PUBLIC if not is_method(name)])
def test_functions_and_classes_show_an_example(name):
    doc = get_doc_object(PUBLIC[name])
    assert is_never_called(PUBLIC[name]) or ">>> " in "\n".join(doc["Examples"])


def examples_with(name):
    """Return the examples of a method, its class and all classes that inherit it."""
    method = inspect.unwrap(PUBLIC[name])
    texts = [*get_doc_object(PUBLIC[name])["Examples"]]
    for obj in filter(inspect.isclass, PUBLIC.values()):
        candidate = getattr(obj, method.__name__, None)
        if inspect.unwrap(getattr(candidate, "__func__", candidate)) is method:
            texts += get_doc_object(obj)["Examples"]
    return "\n".join(texts)


@pytest.mark.parametrize("name", [name for name in PUBLIC if is_method(name)])
def test_examples_call_every_method(name):
    method = name.rpartition(".")[2]
    if method == "from_checkpoint":
        pytest.skip("reads files that the authors of the papers released, which may not be shipped")
    if method == "forward":
        # Modules are called directly.
        assert re.search(r">>> .*(\)|net|network)\(", examples_with(name))
        return
    related = {"fit": "fit_transform", "transform": "fit_transform"}.get(method, method)
    call = rf"(>>>|\.\.\.) .*\.({method}|{related})\("
    assert re.search(call, examples_with(name)) or is_a_protocol(name)


def is_a_protocol(name):
    return getattr(PUBLIC[name.rpartition(".")[0]], "_is_protocol", False)


@pytest.mark.parametrize("name", [name for name in PUBLIC if not is_method(name)])
def test_methods_cite_their_source(name):
    short = name.removeprefix("stemkit.")
    if short.startswith(INFRASTRUCTURE):
        return
    has_source = bool(get_doc_object(PUBLIC[name])["References"])
    never_called = is_never_called(PUBLIC[name])
    assert has_source or never_called or short in WITHOUT_SOURCE
    assert not (has_source and short in WITHOUT_SOURCE)


def test_names_without_source_exist():
    assert {f"stemkit.{name}" for name in WITHOUT_SOURCE} <= PUBLIC.keys()


@every_object
def test_defaults_are_those_of_the_code(name):
    if is_never_called(PUBLIC[name]):
        return
    parameters = inspect.signature(PUBLIC[name]).parameters
    for parameter, kind, value in documented_parameters(PUBLIC[name]):
        if parameter not in parameters:
            continue
        default = parameters[parameter].default
        is_optional = "optional" in kind or "default=" in kind
        assert is_optional == (default is not inspect.Parameter.empty), parameter
        try:
            documented = ast.literal_eval(value)
        except (SyntaxError, ValueError, TypeError):
            continue  # not a literal
        if isinstance(default, (int, float, str, tuple)):
            assert documented == default, parameter


@every_object
def test_arrays_have_a_shape(name):
    doc = get_doc_object(PUBLIC[name])
    for entry in doc["Parameters"] + doc["Returns"]:
        if re.match(r"(array|ndarray|memmap|Tensor|torch\.Tensor)", entry.type):
            assert re.search(r"shape|Axes|dimensions", entry.type), entry


@every_object
def test_errors_are_documented(name):
    obj = PUBLIC[name]
    if inspect.isfunction(obj) and not inspect.isabstract(obj):
        source = inspect.getsource(obj)
        if re.search(r"\braise \w+Error|(?<!\w)check_(?!resumable)\w+\(", source):
            assert get_doc_object(obj)["Raises"]
