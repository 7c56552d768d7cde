import pickle
import tracemalloc
from inspect import signature

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from stemkit.noise import (
    Afterglow,
    Flyback,
    LineGain,
    RowJitter,
    Saturation,
    ShotNoise,
    SlowBackground,
    STEMNoise,
    functional,
)

RANDOM = [LineGain, RowJitter, STEMNoise, ShotNoise, SlowBackground]
FIXED = [Afterglow, Flyback, Saturation]
SIMULATORS = [*(simulator(random_state=0) for simulator in RANDOM), *(f() for f in FIXED)]


@pytest.fixture(params=SIMULATORS, ids=lambda simulator: type(simulator).__name__)
def simulator(request):
    return clone(request.param)


def clean_frames(n=3, shape=(24, 40)):
    return np.random.default_rng(0).gamma(2.0, 20.0, size=(n, *shape)).astype("float32")


def test_each_does_something_to_each_frame_and_leaves_the_input(simulator):
    X = clean_frames()
    X.flags.writeable = False
    noisy = simulator.fit_transform(X)
    assert noisy.dtype == np.float32
    assert (np.abs(noisy - X).reshape(len(X), -1).max(axis=1) > 0).all()
    np.testing.assert_array_equal(simulator.transform(X[::-1])[::-1], noisy)


def test_whole_numbers_of_detectors_are_taken(simulator):
    X = clean_frames().astype("uint16")
    noisy = simulator.fit_transform(X)
    assert noisy.dtype == np.float32
    np.testing.assert_array_equal(simulator.transform(X.astype("float64")), noisy)


def test_copies_make_the_same_noise(simulator):
    X = clean_frames()
    noisy = simulator.fit_transform(X)
    for again in (pickle.loads(pickle.dumps(simulator)), clone(simulator).fit(X)):
        np.testing.assert_array_equal(again.transform(X), noisy)


def test_batches_of_tensors_are_degraded_by_the_same_parameters(simulator):
    batch = torch.from_numpy(clean_frames()[:, np.newaxis])
    simulator.fit(batch[:, 0])
    noisy = simulator.degrade(batch, generator=torch.Generator().manual_seed(1))
    assert isinstance(noisy, torch.Tensor)
    assert noisy.shape == batch.shape
    if type(simulator) in FIXED:
        expected = simulator.transform(batch[:, 0].numpy())
        np.testing.assert_allclose(noisy[:, 0].numpy(), expected, rtol=1e-5, atol=1e-3)
    again = simulator.degrade(batch, generator=torch.Generator().manual_seed(1))
    assert torch.equal(again, noisy)


def test_global_random_state_is_left_alone(simulator):
    simulator.set_params(**({"random_state": None} if type(simulator) in RANDOM else {}))
    X = clean_frames()
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    simulator.fit_transform(X)
    simulator.degrade(torch.from_numpy(X))
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert torch.equal(torch.get_rng_state(), torch_before)


@pytest.mark.parametrize("name", ["ShotNoise", "SlowBackground", "Saturation", "STEMNoise"])
def test_negative_signals_are_an_error_with_a_remedy(name):
    simulator = next(s for s in SIMULATORS if type(s).__name__ == name)
    with pytest.raises(ValueError, match=r"down to -3, .* dark level.*clip the frames at 0"):
        clone(simulator).fit(np.full((1, 4, 4), -3.0))
    fitted = clone(simulator).fit(np.ones((1, 4, 4)))
    with pytest.raises(ValueError, match=r"down to -3, .* dark level"):
        fitted.transform(np.full((1, 4, 4), -3.0))


@pytest.mark.parametrize(
    "simulator, what",
    [
        (STEMNoise(dose=0), "dose must be .* got 0"),
        (STEMNoise(dose=-1), "dose must be"),
        (STEMNoise(dose="many"), "dose must be"),
        (STEMNoise(pixel_size=0), "pixel_size must be"),
        (STEMNoise(reference="max"), r'reference must be "mean" or a finite number'),
        (STEMNoise(reference=0.0), "reference must be"),
        (STEMNoise(reference=None), "reference must be"),
        (STEMNoise(row_jitter=-0.1), r"row_jitter must be .* px in \[0, .* or None; got -0\.1"),
        (STEMNoise(row_jitter=np.nan), "row_jitter must be"),
        (STEMNoise(row_correlation=-1), "row_correlation must be"),
        (STEMNoise(flyback=-1), "flyback must be"),
        (STEMNoise(flyback_decay=0), "flyback_decay must be"),
        (STEMNoise(background=-1), "background must be"),
        (STEMNoise(background_contrast=-1), "background_contrast must be"),
        (
            STEMNoise(background_length=0.5),
            r"background_length must be a finite number of px in \[1,",
        ),
        (STEMNoise(afterglow=1.5), r"afterglow must be a finite number in \[0, 1\] or None"),
        (STEMNoise(afterglow_decay=0), "afterglow_decay must be"),
        (STEMNoise(line_gain=-0.1), "line_gain must be"),
        (STEMNoise(saturation=-1), "saturation must be"),
        (ShotNoise(dose=np.inf), "dose must be"),
        (RowJitter(sigma=-1), "sigma must be"),
        (RowJitter(correlation=np.inf), "correlation must be"),
        (Flyback(amplitude="1"), "amplitude must be"),
        (Afterglow(share=None), r"share must be a finite number in \[0, 1\]"),
        (Saturation(level=0), "level must be"),
    ],
)
def test_wrong_parameters_are_named_in_fit(simulator, what):
    with pytest.raises(ValueError, match=f"^{what}"):
        simulator.fit(np.ones((1, 4, 4)))


OFF = dict.fromkeys(
    ["dose", "row_jitter", "flyback", "background", "afterglow", "line_gain", "saturation"]
)


@pytest.mark.parametrize("nothing", [None, 0])
def test_with_all_parts_off_frames_stay_as_they_are(nothing):
    parameters = dict.fromkeys(OFF, nothing) | {"dose": None}
    X = clean_frames()
    np.testing.assert_array_equal(STEMNoise(**parameters).fit_transform(X), X)


@pytest.mark.parametrize(
    "part, parameters",
    [
        (ShotNoise(dose=7, pixel_size=0.3), {"dose": 7, "pixel_size": 0.3}),
        (RowJitter(sigma=0.7, correlation=2), {"row_jitter": 0.7, "row_correlation": 2}),
        (Flyback(amplitude=2, decay=3), {"flyback": 2, "flyback_decay": 3}),
        (
            SlowBackground(level=0.4, contrast=0.5, length=9, reference=30.0),
            {
                "background": 0.4,
                "background_contrast": 0.5,
                "background_length": 9,
                "reference": 30.0,
            },
        ),
        (Afterglow(share=0.4, decay=3), {"afterglow": 0.4, "afterglow_decay": 3}),
        (LineGain(sigma=0.1), {"line_gain": 0.1}),
        (Saturation(level=1.5), {"saturation": 1.5}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_with_one_part_left_it_is_that_part(part, parameters):
    X = clean_frames()
    if "random_state" in part.get_params():
        part.set_params(random_state=3)
    alone = STEMNoise(**(OFF | parameters), random_state=3).fit_transform(X)
    np.testing.assert_array_equal(alone, part.fit_transform(X).clip(min=0))


def test_a_part_has_one_default_wherever_it_is_found():
    whole = signature(functional.stem_noise).parameters
    assert {name: p.default for name, p in whole.items() if name in STEMNoise().get_params()} == {
        name: value for name, value in STEMNoise().get_params().items() if name != "random_state"
    }
    for part, function in (
        (Afterglow(), functional.afterglow),
        (Flyback(), functional.flyback),
        (RowJitter(), functional.row_jitter),
        (SlowBackground(), functional.slow_background),
        (ShotNoise(), functional.shot_noise),
    ):
        for name, parameter in signature(function).parameters.items():
            if name in part.get_params() and parameter.default is not parameter.empty:
                assert part.get_params()[name] == parameter.default, (part, name)


class Scale(TransformerMixin, BaseEstimator):
    """A minimal denoiser: learns one factor from pairs, and scores."""

    def fit(self, X, y):
        self.factor_ = float((X * y).sum() / (X * X).sum())
        self.seen_ = X.copy()
        return self

    def transform(self, X):
        return X * self.factor_

    predict = transform

    def score(self, X, y, sample_weight=None):
        return -float(np.abs(self.transform(X) - y).mean())


def test_pipeline_gives_pairs_and_without_the_simulator_takes_real_frames():
    clean = clean_frames()
    pipe = make_pipeline(STEMNoise(random_state=0), Scale()).fit(clean, clean)
    np.testing.assert_array_equal(pipe[-1].seen_, STEMNoise(random_state=0).fit_transform(clean))
    np.testing.assert_array_equal(pipe[1:].transform(clean), clean * pipe[-1].factor_)


def test_search_reaches_the_dose():
    clean = clean_frames(n=6)
    pipe = make_pipeline(STEMNoise(random_state=0), Scale())
    search = GridSearchCV(pipe, {"stemnoise__dose": [0.1, 10, 1e4]}, cv=3).fit(clean, clean)
    assert search.best_params_ == {"stemnoise__dose": 1e4}


@pytest.mark.parametrize("simulator, copies", [(STEMNoise(), 5), (ShotNoise(), 4)])
def test_large_frames_need_a_few_copies_of_memory(simulator, copies):
    X = np.ones((1, 1024, 2048), dtype="float32")
    simulator.fit(X)
    tracemalloc.start()
    simulator.transform(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < copies * X.nbytes
