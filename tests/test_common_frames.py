"""The contract on stacks of frames, for every public estimator."""

import copy
import io
import pickle
import random
import re
from functools import cache
from inspect import signature

import joblib
import numpy as np
import pytest
import skops.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags

from stemkit._arrays import as_array
from stemkit._validation import without_repair
from stemkit.exceptions import BadPixelWarning
from stemkit.io import FrameStack
from stemkit.preprocessing import BadPixelRepair

from .labelled_arrays import data_array, signal
from .small_estimators import LOWEST, OF_THE_SERIES, all_small_instances

# Frames without structure determine no drift, and the model warns.
pytestmark = pytest.mark.filterwarnings("ignore::stemkit.exceptions.LowConfidenceWarning")

ESTIMATORS = all_small_instances()


@pytest.fixture(params=ESTIMATORS, ids=repr)
def estimator(request):
    return clone(request.param)


def frames(n=3, shape=(20, 24), seed=0):
    """Make noisy frames of atoms, with integers that all dtypes can represent."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    clean = np.full((n, *shape), 40.0)
    for frame in clean:
        for row, column in rng.uniform((4, 4), np.maximum(np.array(shape) - 4, 5), (4, 2)):
            frame += 150 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 1.5**2))
    noisy = clean + rng.normal(0, 6, clean.shape)
    return noisy.round().clip(0, 255).astype("float32"), clean.astype("float32")


X, Y = frames()
X.flags.writeable = Y.flags.writeable = False


def answers(estimator, X):
    """Return the result of the estimator for each frame."""
    if hasattr(estimator, "transform"):
        return list(np.asarray(estimator.transform(X)))
    atoms = estimator.predict(X)
    # Only frames with a pixel size give columns in nm.
    values = atoms.drop(columns=["frame", *atoms.filter(regex="_nm$")])
    n_frames = len(X) if hasattr(X, "__len__") else len(as_array(X, "X"))
    return [values[atoms["frame"] == i].to_numpy() for i in range(n_frames)]


def assert_same(ones, others):
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_array_equal(one, other)


@cache
def _fitted(index):
    return clone(ESTIMATORS[index]).fit(X, Y)


@pytest.fixture(params=range(len(ESTIMATORS)), ids=[repr(estimator) for estimator in ESTIMATORS])
def fitted(request):
    """Return an estimator fitted to X and Y, which tests must not change."""
    return _fitted(request.param)


def test_there_is_something_to_compare(fitted):
    assert all(np.isfinite(answer).all() for answer in answers(fitted, X))
    assert sum(answer.size for answer in answers(fitted, X)) > 0
    if hasattr(fitted, "transform"):
        # The result is not constant, for which the following tests would be trivial.
        assert all(answer.std() > 1e-3 * X.std() for answer in answers(fitted, X))


def test_order_and_subset_do_not_matter(fitted):
    if type(fitted) in OF_THE_SERIES:
        pytest.skip(OF_THE_SERIES[type(fitted)])
    whole = answers(fitted, X)
    assert_same(answers(fitted, X[::-1])[::-1], whole)
    for index in range(len(X)):
        assert_same(answers(fitted, X[[index]]), whole[index : index + 1])


LAYOUTS = {
    "uint8": lambda X: X.astype("uint8"),
    "uint16": lambda X: X.astype("uint16"),
    "int64": lambda X: X.astype("int64"),
    "float64": lambda X: X.astype("float64"),
    "big-endian": lambda X: X.astype(">f4"),
    "Fortran": np.asfortranarray,
    "non-contiguous": lambda X: np.repeat(X, 2, axis=2)[:, :, ::2],
    "upside down": lambda X: X[:, ::-1].copy()[:, ::-1],
    "list": lambda X: X.tolist(),
    "FrameStack": lambda X: FrameStack(X, 0.02, tuple(map(str, range(len(X))))),
    "DataArray": lambda X: data_array(X.transpose(2, 0, 1), ("x", "time", "y")),
    "signal": lambda X: signal(X, [(name, "nm", 1, False) for name in ("time", "y", "x")]),
}


def test_dtype_and_memory_layout_do_not_matter(fitted):
    expected = answers(fitted, X)
    for lay in LAYOUTS.values():
        assert_same(answers(fitted, lay(X)), expected)
    if hasattr(fitted, "transform"):
        assert fitted.transform(X.astype("float64")).dtype == np.float32


@pytest.mark.parametrize("layout", ["uint16", "Fortran", "FrameStack", "DataArray"])
def test_dtype_and_memory_layout_do_not_matter_to_fit(fitted, layout):
    lay = LAYOUTS[layout]
    assert_same(answers(clone(fitted).fit(lay(X), lay(Y.round())), X), _of_rounded(fitted))


def _of_rounded(fitted):
    return answers(clone(fitted).fit(X, Y.round()), X)


def use(estimator, X, Y):
    """Call the methods that all or most estimators have."""
    estimator.fit(X, Y)
    answers(estimator, X)
    if hasattr(estimator, "fit_transform"):
        estimator.fit_transform(X, Y)
    if hasattr(estimator, "partial_fit"):
        estimator.partial_fit(X, Y)
    if hasattr(estimator, "score") and get_tags(estimator).transformer_tags is not None:
        estimator.score(X, Y)


def test_input_is_not_changed(estimator):
    noisy, clean = X.copy(), Y.copy()
    use(estimator, noisy, clean)
    np.testing.assert_array_equal(noisy, X)
    np.testing.assert_array_equal(clean, Y)


def test_maps_of_read_only_files_are_taken(fitted, tmp_path):
    for name, array in {"X": X, "Y": Y}.items():
        np.save(tmp_path / f"{name}.npy", array)
    noisy, clean = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "XY")
    mapped = clone(fitted)
    use(mapped, noisy, clean)
    assert_same(answers(mapped.fit(noisy, clean), noisy), answers(fitted, X))


def global_states():
    return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()


@pytest.mark.parametrize("seed", [0, None])
def test_global_random_state_is_left_alone(estimator, seed):
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=seed)
    before = global_states()
    use(estimator, X, Y)
    pickle.loads(pickle.dumps(estimator))
    assert global_states() == before


def test_global_random_state_does_not_matter(estimator):
    said = []
    for seed in range(2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        said.append(answers(clone(estimator).fit(X, Y), X))
    assert_same(*said)


def test_a_new_fit_forgets_the_old_one(fitted):
    again = clone(fitted)
    for noisy, clean in (frames(2, (12, 17), seed=5), (X[:, 0], Y[:, 0]), (X, Y)):
        again.fit(noisy, clean)
    assert_same(answers(again, X), answers(fitted, X))
    assert again.frame_shape_ == X.shape[1:]
    assert vars(again).keys() == vars(fitted).keys()


def test_fit_changes_no_parameter(fitted, estimator):
    assert repr(clone(fitted).get_params()) == repr(fitted.get_params())


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


def through_skops(estimator):
    data = skops.io.dumps(estimator)
    # skops trusts classes of stemkit by name; no others may be required.
    unknown = skops.io.get_untrusted_types(data=data)
    assert all(name.startswith("stemkit.") for name in unknown), unknown
    return skops.io.loads(data, trusted=unknown)


COPIES = {
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "deep copy": copy.deepcopy,
    "joblib": through_joblib,
    "skops": through_skops,
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_copies_give_equal_results(fitted, duplicate):
    again = duplicate(fitted)
    assert repr(again.get_params()) == repr(fitted.get_params())
    assert_same(answers(again, X), answers(fitted, X))
    # a copy of a copy is the same, too
    assert_same(answers(duplicate(again), X), answers(fitted, X))


def test_files_need_no_torch(fitted):
    assert b"torch" not in pickle.dumps(fitted)


def test_clones_know_the_parameters_and_nothing_else(fitted):
    fresh = clone(fitted)
    assert vars(fresh).keys() == vars(type(fresh)(**fresh.get_params(deep=False))).keys()
    assert not [name for name in vars(fresh) if name.endswith("_")]
    if not get_tags(fresh).requires_fit:
        assert len(answers(fresh, X)) == len(X)
        return
    with pytest.raises(NotFittedError):
        answers(fresh, X)


@pytest.mark.parametrize("shape", [(24, 20), (9, 31), (33, 40), (1, 5), (6, 1)])
def test_frames_may_have_another_size_than_those_of_fit(fitted, shape):
    other, _ = frames(2, shape, seed=1)
    found = answers(fitted, other)
    assert len(found) == 2
    assert all(np.isfinite(answer).all() for answer in found)
    if hasattr(fitted, "transform"):
        assert fitted.transform(other).shape == other.shape


@pytest.mark.parametrize(
    "estimator", [e for e in ESTIMATORS if "n_jobs" in signature(type(e)).parameters], ids=repr
)
def test_n_jobs_does_not_matter(estimator):
    expected = answers(clone(estimator).fit(X), X)
    for n_jobs in (2, -1):
        with joblib.parallel_config(backend="threading"):
            assert_same(answers(clone(estimator).set_params(n_jobs=n_jobs).fit(X), X), expected)


def values(dtype, low):
    if dtype.startswith("uint"):
        return st.integers(0, np.iinfo(dtype).max)
    return st.floats(low, 2.0**16, width=np.finfo(dtype).bits)


@st.composite
def stacks(draw, low):
    """Make small stacks of any shape and dtype, with at least two pixels per frame."""
    dtype = draw(st.sampled_from(["float32", "float64", "uint8", "uint16"]))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(2, 9)))
    elements = values(dtype, low)
    return draw(npst.arrays(dtype, shape, elements=elements, fill=elements))


@pytest.mark.filterwarnings("ignore::stemkit.exceptions.BadPixelWarning")
@pytest.mark.parametrize("index", range(len(ESTIMATORS)), ids=[repr(e) for e in ESTIMATORS])
@settings(max_examples=8)
@given(data=st.data())
def test_stacks_of_any_shape_and_values(index, data):
    estimator = clone(ESTIMATORS[index])
    low = LOWEST.get(type(estimator), -(2.0**16))
    low = 0 if get_tags(estimator).input_tags.positive_only else low
    stack = data.draw(stacks(low))
    before = stack.copy()
    found = answers(estimator.fit(stack, stack), stack)
    assert len(found) == len(stack)
    assert all(np.isfinite(answer).all() for answer in found)
    np.testing.assert_array_equal(stack, before)
    if hasattr(estimator, "transform"):
        denoised = estimator.transform(stack)
        assert denoised.shape == stack.shape
        assert denoised.dtype == np.float32
    # An estimator fitted to other frames accepts them as well.
    assert len(answers(_fitted(index), stack)) == len(stack)


def spoilt(value):
    bad = X.copy()
    bad[1, 3, 4] = value
    return bad


WRONG = {
    "NaN": (spoilt(np.nan), "NaN in frame 1; replace"),
    "infinity": (spoilt(np.inf), "inf.* in frame 1; replace"),
    "complex": (X + 1j, "complex.*real numbers"),
    "object": (X.astype(object), "dtype object"),
    "ragged": ([X[0], X[1, 1:]], "different shapes"),
    "no frames": (X[:0], "0 frame"),
    "empty frames": (X[:, :0], "empty frames"),
    "too many axes": (X[np.newaxis, np.newaxis], "5 dimensions"),
    "text": (np.full(X.shape, "a"), "real numbers"),
}


@pytest.mark.parametrize("bad, message", WRONG.values(), ids=WRONG)
def test_the_error_names_an_input_that_is_not_a_stack(fitted, bad, message):
    if message.startswith("NaN") and not is_simulator(fitted):
        pytest.skip("missing pixels are filled, see below")
    with pytest.raises(ValueError, match=message):
        clone(fitted).fit(bad, bad)
    with pytest.raises(ValueError, match=message):
        answers(fitted, bad)


def is_simulator(estimator):
    return not hasattr(estimator, "bad_pixels") and not isinstance(estimator, BadPixelRepair)


def masked():
    mask = np.zeros(X.shape, bool)
    mask[1, 3, 4] = True
    return np.ma.MaskedArray(spoilt(1e6), mask)


BAD = {
    "NaN": spoilt(np.nan),
    "masked array": masked(),
    "masked FrameStack": FrameStack(masked().data, mask=masked().mask),
    "stuck": spoilt(65535),
    "two frames": np.where(masked().mask | masked().mask[[1, 0, 2]], 3e4, X).astype("float32"),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_pixels_are_filled_with_a_warning(fitted, bad):
    if not hasattr(fitted, "bad_pixels"):
        pytest.skip("adds noise to clean frames, or repairs them without a warning")
    with pytest.warns(BadPixelWarning, match=r"bad pixels in . of 3 frames: .*\(3, 4\)"):
        found = answers(fitted, bad)
    with without_repair():
        expected = answers(fitted, BadPixelRepair().transform(bad))
    assert_same(found, expected)
    with pytest.warns(BadPixelWarning, match="bad pixels"):
        again = clone(fitted).fit(bad, Y)
    assert all(np.isfinite(answer).all() for answer in answers(again, X))


def test_bad_pixels_are_used_on_request(fitted):
    if not hasattr(fitted, "bad_pixels"):
        pytest.skip("adds noise to clean frames")
    as_it_is = copy.deepcopy(fitted).set_params(bad_pixels=None)
    with pytest.raises(ValueError, match="NaN in frame 1; replace"):
        answers(as_it_is, BAD["NaN"])
    for name in ("masked array", "masked FrameStack"):
        with pytest.raises(ValueError, match="masked"):
            answers(as_it_is, BAD[name])
    assert_same(answers(as_it_is, X), answers(fitted, X))


def test_the_error_for_a_single_frame_asks_for_a_stack(fitted):
    with pytest.raises(ValueError, match=re.escape("[np.newaxis]")):
        answers(fitted, X[0])
