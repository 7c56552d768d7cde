import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from stemkit.drift import Motion
from stemkit.registration._trajectory_table import frame_pairs, motions_from_table, trajectory_table

SHAPE = (50, 70)
MODELS = {
    "translation": (),
    "rigid": ("rotation",),
    "scan": ("shear", "stretch"),
    "affine": ("rotation", "shear", "stretch", "scale"),
}
RANGES = {"rotation": (-1, 1), "shear": (-0.1, 0.1), "stretch": (-0.1, 0.1), "scale": (0.9, 1.1)}


def random_motions(model, n=4, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Motion.from_parameters(
            SHAPE,
            drift=rng.uniform(-20, 20, 2),
            **{name: rng.uniform(*RANGES[name]) for name in MODELS[model]},
        )
        for _ in range(n)
    ]


def table_of(motions):
    numbers = np.linspace(0, 1, len(motions))
    return trajectory_table(motions, 2 * numbers, numbers)


@pytest.mark.parametrize("model", MODELS)
def test_motions_are_read_back(model):
    motions = random_motions(model)
    for motion, again in zip(motions, motions_from_table(table_of(motions), SHAPE), strict=True):
        assert again.shape == SHAPE
        np.testing.assert_allclose(again.drift, motion.drift, atol=1e-12)
        np.testing.assert_allclose(again.matrix, motion.matrix, atol=1e-12)


def test_tables_survive_a_file(tmp_path):
    motions = random_motions("affine")
    table_of(motions).to_csv(tmp_path / "trajectory.csv")
    for index in (None, "frame"):
        table = pd.read_csv(tmp_path / "trajectory.csv", index_col=index)
        for motion, again in zip(motions, motions_from_table(table, SHAPE), strict=True):
            np.testing.assert_allclose(again.matrix, motion.matrix, atol=1e-12)
            np.testing.assert_allclose(again.drift, motion.drift, atol=1e-12)


def test_columns_are_in_the_units_of_their_names():
    motion = Motion.from_parameters(
        SHAPE, drift=(3, -4), rotation=np.deg2rad(5), shear=0.01, stretch=0.02, scale=0.99
    )
    table = trajectory_table(
        [Motion(SHAPE), motion], closure=np.array([0.0, 0.4]), confidence=np.array([1.0, 0.7])
    )
    assert table.index.tolist() == [0, 1]
    assert table.index.name == "frame"
    expected = {
        "dy": 3,
        "dx": -4,
        "rotation_deg": 5,
        "shear": 0.01,
        "stretch": 0.02,
        "scale": 0.99,
        "confidence": 0.7,
        "closure": 0.4,
    }
    assert table.loc[1].to_dict() == pytest.approx(expected)
    unmoved = dict.fromkeys(expected, 0) | {"scale": 1, "confidence": 1}
    assert table.loc[0].to_dict() == pytest.approx(unmoved)


def test_missing_columns_mean_no_such_motion():
    (motion,) = motions_from_table(pd.DataFrame({"dy": [1], "dx": [2]}), SHAPE)
    np.testing.assert_array_equal(motion.drift, [1, 2])
    np.testing.assert_array_equal(motion.matrix, np.eye(2))


@pytest.mark.parametrize("index", [[3, 1, 2, 0], ["a", "b", "c", "d"], [0, 0, 0, 0]])
def test_rows_are_read_in_order_whatever_the_index(index):
    motions = random_motions("rigid")
    table = table_of(motions).set_index(pd.Index(index))
    drifts = [motion.drift for motion in motions_from_table(table, SHAPE)]
    np.testing.assert_allclose(drifts, [motion.drift for motion in motions])


def test_incomplete_tables_are_errors_that_name_the_column():
    table = table_of(random_motions("rigid"))
    with pytest.raises(ValueError, match=r"^table lacks the column\(s\) \['dx'\]"):
        motions_from_table(table.drop(columns="dx"), SHAPE)
    for name in ("dy", "rotation_deg", "scale"):
        with pytest.raises(ValueError, match=r"^table holds NaN or inf"):
            motions_from_table(table.assign(**{name: [0, np.nan, 0, 0]}), SHAPE)
    # Columns that are not part of the motion may be NaN.
    assert len(motions_from_table(table.assign(closure=np.nan), SHAPE)) == 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"motions": Motion(SHAPE)}, "motions must be a sequence, each a Motion; got"),
        ({"motions": [Motion(SHAPE), (3, 4)]}, "motions must be a sequence, each a Motion"),
        ({"motions": []}, "motions must be a sequence, each a Motion"),
        ({"closure": np.zeros(3)}, r"closure has shape \(3,\) .* for 2 motions; pass one number"),
        ({"closure": 0.5}, r"closure has shape \(\) .* for 2 motions"),
        ({"confidence": np.ones((2, 1))}, r"confidence has shape \(2, 1\)"),
        ({"confidence": ["high", "low"]}, "confidence .*; pass one number"),
    ],
)
def test_tables_of_bad_arguments_are_errors(changed, message):
    good = {"motions": [Motion(SHAPE)] * 2, "closure": np.zeros(2), "confidence": np.ones(2)}
    assert len(trajectory_table(**good)) == 2
    with pytest.raises(ValueError, match=message):
        trajectory_table(**(good | changed))


@given(st.integers(1, 300))
def test_pairs_connect_all_frames(n_frames):
    pairs = frame_pairs(n_frames)
    assert len(set(pairs)) == len(pairs)
    assert all(0 <= i < j < n_frames for i, j in pairs)
    graph = np.zeros((n_frames, n_frames))
    for i, j in pairs:
        graph[i, j] = 1
    assert connected_components(graph)[0] == 1
    if n_frames > 2:
        # If any one pair is removed, all frames are still connected.
        links = (graph + graph.T).astype(bool).sum(axis=0)
        assert links.min() >= 2
    if n_frames <= 16:
        assert len(pairs) == n_frames * (n_frames - 1) // 2
    else:
        assert len(pairs) <= n_frames * (np.log2(n_frames) + 1)


def test_lags_of_long_series_are_powers_of_two():
    for n_frames in (17, 33, 65, 129):
        lags = sorted({j - i for i, j in frame_pairs(n_frames)})
        assert lags == [2**power for power in range(int(np.log2(n_frames - 1)) + 1)]
        assert lags[-1] == n_frames - 1


def test_a_table_takes_tensors_and_unknown_closures_but_no_infinite_ones():
    motions = [Motion(SHAPE)] * 2
    closure = torch.tensor([0.5, np.nan], requires_grad=True)
    table = trajectory_table(motions, closure, torch.ones(2, dtype=torch.bfloat16))
    np.testing.assert_array_equal(table["closure"], [0.5, np.nan])
    np.testing.assert_array_equal(table["confidence"], 1)
    for closure, confidence in ((np.inf, 1), (0, np.nan), (0, -np.inf)):
        with pytest.raises(ValueError, match="confidence must be finite, and closure finite or"):
            trajectory_table(motions, np.full(2, closure), np.full(2, confidence))


def test_a_series_has_a_number_of_frames_that_a_list_can_hold():
    with pytest.raises(ValueError, match="n_frames must be an int in"):
        frame_pairs(10**30)
