import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from stemkit import DriftDecayModel
from stemkit._scene import render_columns
from stemkit.damage._decay_map import DecayMaps
from stemkit.datasets import make_damage_sequence, make_drift_pairs, make_llzo_series, make_scene
from stemkit.drift import LowConfidenceWarning, Motion, Registration
from stemkit.io import FrameStack

from ..labelled_arrays import series


def test_predict_finds_drift_rotation_and_decay(model, pair):
    state = model.predict(pair.pairs[0])
    assert np.linalg.norm(state.drift - pair.drift[0]) < 1
    assert abs(np.rad2deg(state.rotation - pair.rotation[0])) < 0.5
    assert 0.5 < state.confidence <= 1
    # Far better than a decay of 1 everywhere.
    where = state.overlap
    error = np.abs(state.decay - pair.decay[0])[where].mean()
    assert error < 0.5 * (1 - pair.decay[0][where]).mean()


def test_at_time_zero_the_state_is_the_first_frame(model, pair):
    state = model.predict(pair.pairs[0], t=0)
    assert np.array_equal(state.frame, pair.pairs[0, 0])
    assert np.array_equal(state.decay, np.ones_like(state.decay))
    assert not state.drift.any()
    assert state.rotation == 0


def test_decay_never_grows_and_motion_is_a_share_of_the_whole(model, pair):
    times = np.linspace(0, 1, 9)
    state = model.predict(pair.pairs[0], times)
    assert (np.diff(state.decay, axis=0) <= 1e-6).all()
    assert (state.decay >= 0).all()
    assert (state.decay <= 1).all()
    np.testing.assert_allclose(state.drift, times[:, None] * state.motion.drift)
    # The result at a time does not depend on the other times.
    alone = model.predict(pair.pairs[0], times[3])
    np.testing.assert_allclose(alone.decay, state.decay[3], atol=1e-6)
    np.testing.assert_allclose(alone.frame, state.frame[3], rtol=1e-5, atol=1e-4)


def test_result_does_not_depend_on_gain(model, pair):
    one = model.predict(pair.pairs[0])
    other = model.predict(300 * pair.pairs[0])
    np.testing.assert_allclose(one.drift, other.drift, atol=1e-3)
    np.testing.assert_allclose(one.decay, other.decay, atol=1e-3)
    np.testing.assert_allclose(300 * one.frame, other.frame, atol=0.5)


def test_result_hardly_depends_on_offset(model, pair):
    # An offset only affects the modelled noise, which is shot noise of the whole intensity.
    one = model.predict(pair.pairs[0])
    other = model.predict(pair.pairs[0] + 0.2)
    np.testing.assert_allclose(one.drift, other.drift, atol=1e-3)
    assert np.abs(one.decay - other.decay).mean() < 0.005


def test_result_is_immutable(model, pair):
    state = model.predict(pair.pairs[0])
    with pytest.raises(AttributeError):
        state.confidence = 1.0
    times = np.array([0.0, 1.0])
    several = model.predict(pair.pairs[0], times)
    times[0] = 0.5  # the result has a copy of this array
    assert several.t[0] == 0
    arrays = [state.drift, state.decay, state.frame, state.overlap, several.t, several.rotation]
    for array in [*arrays, state.motion.drift, state.motion.matrix]:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    np.testing.assert_array_equal(state.damage, 1 - state.decay)


@pytest.mark.parametrize("unit", [1e-36, 1e36])
def test_extreme_units_do_not_matter(model, pair, unit):
    unit = np.float32(2.0 ** np.rint(np.log2(unit)))
    stack = pair.pairs[0]
    one, other = model.predict(stack, 0.5), model.predict(unit * stack, 0.5)
    np.testing.assert_allclose(one.frame, other.frame / unit, atol=0.02)
    assert np.abs(one.decay - other.decay).mean() < 0.005
    assert model.score(unit * stack) == pytest.approx(model.score(stack), abs=0.01)
    np.testing.assert_allclose(
        model.trajectory(unit * stack)[["dy", "mean_damage"]],
        model.trajectory(stack)[["dy", "mean_damage"]],
        atol=0.01,
    )


def test_predicted_frame_is_nearer_to_the_second_than_the_first_is(model, pair):
    first, second = pair.clean[0]
    state = model.predict(pair.clean[0])
    # At the border the second frame shows what lies outside the first.
    inside = (slice(30, -30),) * 2
    unmoved = np.abs(first - second)[inside].mean()
    assert np.abs(state.frame - second)[inside].mean() < 0.5 * unmoved


def test_transform_aligns_the_frames(model, pair):
    stack = pair.clean[0]
    aligned = model.transform(stack)
    assert aligned.shape == stack.shape
    assert aligned.dtype == np.float32
    assert np.isfinite(aligned).all()
    assert aligned.mask[0].all()
    both = aligned.mask[1]
    assert 0.5 < both.mean() < 1
    expected = stack[0] * pair.decay[0]
    correlation = np.corrcoef(aligned[1][both], expected[both])[0, 1]
    assert correlation > 0.95


def test_a_given_trajectory_is_not_estimated_again(model, pair, monkeypatch):
    stack = pair.clean[0]
    table = model.trajectory(stack, times=[0, 2.5])
    assert list(table["time"]) == [0, 2.5]
    whole = model.transform(stack)
    monkeypatch.setattr("stemkit.drift._drift_decay.register", None)
    np.testing.assert_allclose(model.transform(stack, trajectory=table), whole, atol=1e-4)
    moved = table[["time"]].assign(dy=0.0, dx=0.0)
    np.testing.assert_allclose(model.transform(stack, trajectory=moved), stack, atol=1e-5)


def test_a_trajectory_has_the_pixel_size_and_the_times_of_the_frames(model, pair):
    stack = pair.clean[0]
    in_px = model.trajectory(stack)
    assert not {"dy_nm", "dx_nm"} & set(in_px)
    times = np.array([0, 2.5])
    for X in (FrameStack(stack, (0.03, 0.02), times=times), series(stack, 0.03, 0.02, times)):
        table = model.trajectory(X)
        pd.testing.assert_frame_equal(table[in_px.columns].assign(time=in_px["time"]), in_px)
        np.testing.assert_allclose(table["dy_nm"], 0.03 * table["dy"])
        np.testing.assert_allclose(table["dx_nm"], 0.02 * table["dx"])
        assert list(table["time"]) == [0, 2.5]
    assert list(model.trajectory(X, times=[3, 4])["time"]) == [3, 4]
    again = model.transform(X, trajectory=table)
    np.testing.assert_array_equal(again, model.transform(stack, trajectory=in_px))
    with pytest.raises(ValueError, match=r"^stack.times must be finite and increase"):
        model.trajectory(FrameStack(stack, times=np.zeros(2)))


@pytest.mark.parametrize("fill", ["edge", "reflect", 7.0])
def test_fill_sets_the_values_outside_of_aligned_frames(model, pair, fill):
    moved = pd.DataFrame({"dy": [0.0, 5.0], "dx": [0.0, -8.5]})
    aligned = model.transform(pair.clean[0], trajectory=moved, fill=fill)
    assert np.isfinite(aligned).all()
    outside = aligned[1][~aligned.mask[1]]
    assert 0 < outside.size < aligned[1].size / 4
    if fill == 7.0:
        assert (
            np.asarray(outside) == 7
        ).mean() > 0.9  # except where splines reach across the border
    else:
        assert np.abs(np.asarray(outside)).max() < 1.5 * pair.clean[0].max()


def test_a_wrong_pair_of_a_series_has_no_influence(model, monkeypatch):
    series = make_llzo_series(4, shape=(160, 160), max_rotation=0, max_shear=0, random_state=6)
    right = {}

    def register(first, second, *, motion, bad_pixels):
        which = [
            int(np.argmax([np.corrcoef(own.ravel(), frame.ravel())[0, 1] for own in series.frames]))
            for frame in (first, second)
        ]
        return right[tuple(which)]

    for i in range(4):
        for j in range(i + 1, 4):
            motion = series.motion[i].inverse().then(series.motion[j])
            right[i, j] = Registration(motion, 0.95, ((motion, 1.0),), 0.9)
    off = Motion((160, 160), right[0, 2].motion.drift + np.array([24, -13]))
    right[0, 2] = Registration(off, 0.99, ((off, 1.0),), 0.9)
    monkeypatch.setattr("stemkit.drift._drift_decay.register", register)
    table = model.trajectory(series.frames)
    np.testing.assert_allclose(table[["dy", "dx"]], series.drift, atol=0.05)
    # Only the closure of its two frames is large.
    assert (table["closure"][[0, 2]] > 5).all()
    assert (table["closure"][[1, 3]] < 0.1).all()


def test_score_is_higher_for_frames_of_one_specimen(model):
    right = make_drift_pairs(
        2, shape=(128, 128), max_drift=0.03, max_strength=0.3, dose=None, random_state=6
    ).pairs
    wrong = right[:, [0, 1]].copy()
    wrong[:, 1] = right[::-1, 1]
    assert model.score(right) > 0.5
    assert model.score(right) > model.score(wrong) + 0.3
    assert model.score(right, sample_weight=[1, 0]) == pytest.approx(model.score(right[:1]))


FLAT = np.full((2, 64, 64), 7.0)


@pytest.mark.parametrize(
    "pair",
    [
        pytest.param(FLAT, id="constant"),
        pytest.param(np.full((2, 64, 64), 65535, dtype=np.uint16), id="saturated"),
        pytest.param(np.zeros((2, 64, 64)), id="zero"),
        pytest.param(np.random.default_rng(0).poisson(5, (2, 96, 96)), id="vacuum"),
        pytest.param(
            np.stack(
                [make_drift_pairs(1, shape=(96, 96), random_state=s).pairs[0, 0] for s in (3, 4)]
            ),
            id="two specimens",
        ),
        pytest.param(np.ones((2, 1, 1)), id="one pixel"),
        pytest.param(np.random.default_rng(0).random((2, 1, 65)), id="one line"),
        pytest.param(np.random.default_rng(0).random((2, 3, 5)), id="tiny"),
    ],
)
def test_frames_that_do_not_determine_the_drift_get_a_warning_and_no_confidence(model, pair):
    for method in (model.register, model.analyze, model.predict):
        with pytest.warns(LowConfidenceWarning, match="confidence") as caught:
            state = method(pair)
        assert [warning.filename for warning in caught] == [__file__]
    assert state.confidence < 0.2
    assert np.isfinite(state.decay).all()
    assert np.isfinite(state.frame).all()


def test_motion_head_of_the_shipped_network_runs(pair):
    state = DriftDecayModel(registration="network").predict(pair.pairs[0])
    assert np.isfinite(state.drift).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"motion": "spiral"}, "motion must be one of"),
        ({"registration": "luck"}, "registration must be one of"),
        ({"max_epochs": -1}, "max_epochs must be"),
        ({"binning": 0}, "binning must be"),
        ({"weights": 3}, 'weights must be "default", a path or None'),
        ({"device": "gpu", "max_epochs": 0}, "device='gpu' is not a device"),
        ({"precision": "16-mixed", "max_epochs": 0}, "precision must be"),
        ({"verbose": "yes"}, "verbose must be"),
        ({"random_state": -1}, "random_state must be"),
        ({"checkpoint_dir": "somewhere"}, "checkpoint_dir needs a random_state"),
    ],
)
def test_bad_parameters(parameters, message, pair):
    with pytest.raises(ValueError, match=message):
        DriftDecayModel(**parameters).fit(pair.pairs)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.predict(np.zeros((3, 8, 8))), r"pair has shape \(3, 8, 8\)"),
        (lambda m: m.predict(FLAT, t=1.5), "t must lie between 0"),
        (lambda m: m.trajectory(FLAT[:1]), "stack holds 1 frame"),
        (lambda m: m.trajectory(FLAT, times=[1, 0]), "times must be finite and increase"),
        (lambda m: m.trajectory(FLAT, times=["now", "then"]), "times must be numbers"),
        (lambda m: m.fit([np.ones((3, 3)), np.ones((4, 4))]), "X holds frames of different shapes"),
        (lambda m: m.score([np.ones((3, 3)), np.ones((4, 4))]), "X holds frames of different"),
        (lambda m: m.score(FLAT, sample_weight=[1, 2]), "sample_weight must be 1 finite numbers"),
        (lambda m: m.score(FLAT, sample_weight=[0]), "not all 0"),
        (lambda m: m.transform(FLAT, trajectory=np.zeros((2, 2))), "trajectory is of type ndarray"),
        (lambda m: m.critical_dose(FLAT, [0, 1]), "at least 3"),
        (lambda m: m.transform(FLAT[0]), r"stack\[np.newaxis\]"),
        (lambda m: m.transform(FLAT, fill="wrap"), "fill must be"),
        (lambda m: m.fit(np.full((2, 8, 8), np.nan)), "X lacks 100% of the pixels of frame 0"),
    ],
)
@pytest.mark.filterwarnings("ignore::stemkit.exceptions.LowConfidenceWarning")
def test_bad_input_is_named(model, call, message):
    with pytest.raises(ValueError, match=message):
        call(clone(model))


def test_analysis_is_the_trajectory_with_its_decay_maps(model, pair):
    stack = pair.clean[0]
    analysis = model.analyze(stack, times=[0, 2.5])
    path, decay = analysis
    assert analysis.trajectory is path
    pd.testing.assert_frame_equal(path, model.trajectory(stack, times=[0, 2.5]))
    np.testing.assert_array_equal(decay, model.decay_maps(stack))
    np.testing.assert_array_equal(decay, model.decay_maps(stack, trajectory=path))
    assert path["mean_damage"].tolist()[0] == 0
    assert path["time"].tolist() == [0, 2.5]
    assert model.analyze(stack).trajectory["time"].tolist() == [0, 1]
    assert type(analysis).__name__ == "DriftDecayAnalysis"
    assert decay.shape == stack.shape
    assert decay.dtype == np.float32
    np.testing.assert_array_equal(decay[0], 1)
    where = model.predict(stack).overlap
    assert np.abs(decay[1] - pair.decay[0])[where].mean() < 0.5 * (1 - pair.decay[0][where]).mean()


def test_critical_dose_of_a_sequence_that_fades_exponentially(model):
    series = make_damage_sequence("perlin", 2, shape=(128, 128), random_state=5)
    rate = 0.1 + 0.15 * series.pattern[1]
    dose = np.arange(6.0)
    stack = np.stack([series.clean[0] * np.exp(-rate * d) for d in dose])
    unmoved = pd.DataFrame(0.0, index=range(6), columns=["dy", "dx"])
    result = model.critical_dose(stack, dose, trajectory=unmoved)
    bright = series.clean[0] > 0.3
    ratio = result.dose[bright] * rate[bright]
    assert abs(np.median(ratio) - 1) < 0.15
    assert (result.stderr >= 0).all()


def test_critical_dose_registers_the_series_without_a_trajectory(model, pair):
    stack = np.concatenate([pair.clean[0], pair.clean[0, 1:] * 0.8])
    given = model.critical_dose(stack, [0, 1, 2], trajectory=model.trajectory(stack))
    found = model.critical_dose(stack, [0, 1, 2])
    np.testing.assert_allclose(found.dose, given.dose, rtol=1e-3)


def test_register_gives_the_motion_of_predict(model, pair):
    found, state = model.register(pair.pairs[0]), model.predict(pair.pairs[0])
    np.testing.assert_array_equal(found.motion.drift, state.motion.drift)
    assert found.confidence == state.confidence


def test_decay_outside_the_overlap_is_that_of_the_nearest_pixel_inside(model, pair, monkeypatch):
    monkeypatch.setattr(
        "stemkit.drift._drift_decay.register",
        lambda first, second, *, motion, bad_pixels: Registration(
            MOVED, 0.9, ((MOVED, 1.0),), 0.75
        ),
    )
    state = model.predict(pair.pairs[0])
    assert not state.overlap[:, :40].any()
    np.testing.assert_array_equal(state.decay[:, :40], np.repeat(state.decay[:, 40:41], 40, axis=1))


MOVED = Motion((160, 160), drift=(0, -40))


@pytest.mark.parametrize("binning", [2, 3])
def test_unbinned_decay_is_not_shifted(binning, monkeypatch):
    # The ratio of two frames replaces the network's decay, and frames do not move.
    shape, unmoved = (84, 96), Motion((84, 96))
    monkeypatch.setattr(
        "stemkit.drift._drift_decay.register",
        lambda first, second, *, motion, bad_pixels: Registration(
            unmoved, 0.9, ((unmoved, 1.0),), 1.0
        ),
    )

    def ratio(network, pair, times, background=None):
        decay = (pair.second.frame / pair.first.frame)[np.newaxis]
        return DecayMaps(decay, 0 * decay)

    monkeypatch.setattr("stemkit.drift._pairs.decay_between", ratio)
    monkeypatch.setattr("stemkit.drift._series.decay_between", ratio)
    y, x = np.indices(shape)
    expected = 0.2 + 0.006 * x + 0.002 * y  # linear, so binning and interpolation are exact
    stack = np.stack([np.ones(shape), expected])
    binned = DriftDecayModel(binning=binning)
    inside = (slice(binning, -binning),) * 2
    decay = binned.predict(stack).decay
    np.testing.assert_allclose(decay[inside], expected[inside], atol=1e-4)
    np.testing.assert_allclose(binned.decay_maps(stack)[1], decay, atol=1e-5)


def test_a_series_on_which_nothing_happened_has_a_lower_limit_of_its_critical_dose():
    scene = make_scene((128, 128), content="aperiodic", spacing=(9, 12), random_state=0)
    clean = render_columns(scene, (128, 128))
    frames = np.random.default_rng(0).poisson(40 * (0.1 + clean), (5, 128, 128))
    still = pd.DataFrame(0.0, index=range(5), columns=["dy", "dx"])
    fit = DriftDecayModel().critical_dose(frames, np.linspace(0, 10, 5), trajectory=still)
    assert np.isinf(fit.upper_limit).mean() > 0.8
    assert np.median(fit.lower_limit) > 30
    assert "no upper limit" in repr(fit)
