import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemkit.registration import Motion, Registration, frame_pairs, reconcile

SHAPE = (200, 240)
LATTICE = np.array([[12.0, 3.0], [-2.0, 14.0]])


def registration(motion, confidence=0.95, others=()):
    weights = np.array([1.0, *(weight for _, weight in others)])
    weights /= weights.sum()
    motions = [motion, *(other for other, _ in others)]
    return Registration(motion, confidence, tuple(zip(motions, weights.tolist(), strict=True)), 0.9)


def series(n_frames, rng, *, noise=0.0, linear=0.02, rigid=True):
    """Return true motions, and registrations of all pairs of frames."""
    truth = [Motion(SHAPE)]
    for _ in range(n_frames - 1):
        step = {"drift": rng.normal(0, 8, 2), "rotation": rng.normal(0, linear)}
        if not rigid:
            step |= {"shear": rng.normal(0, linear), "stretch": rng.normal(0, linear)}
        truth.append(truth[-1].then(Motion.from_parameters(SHAPE, **step)))
    pairs = {}
    for i in range(n_frames):
        for j in range(i + 1, n_frames):
            between = truth[i].inverse().then(truth[j])
            drift = between.drift + rng.normal(0, noise, 2)
            pairs[i, j] = registration(Motion(SHAPE, drift, between.matrix))
    return truth, pairs


def drift_errors(found, truth):
    return np.array(
        [np.hypot(*(a.drift - b.drift)) for a, b in zip(found.motions, truth, strict=True)]
    )


def displaced(motion, by):
    return Motion(SHAPE, motion.drift + by, motion.matrix)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), n_frames=st.integers(2, 6), rigid=st.booleans())
def test_exact_registrations_give_back_the_truth(seed, n_frames, rigid):
    truth, pairs = series(n_frames, np.random.default_rng(seed), rigid=rigid)
    found = reconcile(pairs, n_frames)
    for motion, expected in zip(found.motions, truth, strict=True):
        np.testing.assert_allclose(motion.drift, expected.drift, atol=1e-6)
        np.testing.assert_allclose(motion.matrix, expected.matrix, atol=1e-8)
    if n_frames > 2:
        np.testing.assert_allclose(found.closure, 0, atol=1e-6)
    assert (found.confidence > 0.9).all()


def test_more_pairs_average_the_noise():
    better = 0
    for seed in range(10):
        truth, pairs = series(8, np.random.default_rng(seed), noise=0.3)
        chain = {edge: pair for edge, pair in pairs.items() if edge[1] == edge[0] + 1}
        all_pairs = drift_errors(reconcile(pairs, 8), truth).mean()
        better += all_pairs < drift_errors(reconcile(chain, 8), truth).mean()
    assert better >= 8


@pytest.mark.parametrize("wrong", [(0, 1), (1, 3), (0, 4)])
def test_a_wrong_pair_has_no_influence(wrong):
    truth, pairs = series(5, np.random.default_rng(7), noise=0.05)
    pairs[wrong] = registration(displaced(pairs[wrong].motion, (31, -18)), confidence=0.99)
    found = reconcile(pairs, 5)
    assert drift_errors(found, truth).max() < 0.3
    assert found.confidence[0] == 1
    # Only frames of the wrong pair, one of four pairs per frame, have a large closure.
    for frame in range(5):
        if frame in wrong:
            assert found.closure[frame] == pytest.approx(np.hypot(31, 18) / 2, rel=0.05)
            assert 0.5 < found.confidence[frame] < 0.75 or frame == 0
        else:
            assert found.closure[frame] < 1
            assert found.confidence[frame] > 0.84


def test_three_frames_that_contradict_each_other_get_a_low_confidence():
    # Any of the three pairs may be wrong, and there is no other pair to decide.
    for seed in range(5):
        _, pairs = series(3, np.random.default_rng(seed))
        pairs[0, 2] = registration(displaced(pairs[0, 2].motion, (0, 20)))
        found = reconcile(pairs, 3)
        # Two thirds of all pairs agree, and of those of some frames one half.
        assert 0.95 / 2 - 0.01 < found.confidence[1:].max() < 0.95 * 2 / 3 + 0.01
        assert found.confidence.min() < 0.5
        assert np.nanmax(found.closure) > 10


def test_pairs_without_overlap_have_no_influence():
    truth, pairs = series(5, np.random.default_rng(8))
    pairs[0, 4] = registration(Motion(SHAPE, (90, 90)), confidence=0.05)
    found = reconcile(pairs, 5)
    assert drift_errors(found, truth).max() < 0.3
    assert found.closure[1:4].max() < 0.3
    assert found.confidence.min() > 0.9


def test_pairs_off_by_a_lattice_vector_are_corrected_by_their_candidates():
    truth, pairs = series(4, np.random.default_rng(3), noise=0.05)
    for edge, vector in {(0, 1): LATTICE[0], (1, 3): LATTICE[1], (0, 3): -LATTICE[0]}.items():
        right = pairs[edge].motion
        pairs[edge] = registration(displaced(right, vector), 0.5, [(right, 0.7)])
    assert drift_errors(reconcile(pairs, 4), truth).max() < 0.3


def test_three_frames_take_the_candidates_that_close():
    truth, pairs = series(3, np.random.default_rng(5))
    right = pairs[0, 2].motion
    pairs[0, 2] = registration(displaced(right, LATTICE[0]), 0.6, [(right, 0.8)])
    found = reconcile(pairs, 3)
    assert drift_errors(found, truth).max() < 1e-6
    assert np.nanmax(found.closure) < 1e-6


def test_pairs_of_high_confidence_prevail():
    right, wrong = Motion(SHAPE, (5, 0)), Motion(SHAPE, (25, 0))
    still = registration(Motion(SHAPE), 0.9)
    pairs = {(0, 1): registration(wrong, 0.05), (1, 2): still, (0, 2): registration(right, 0.9)}
    found = reconcile(pairs, 3)
    np.testing.assert_allclose(found.motions[1].drift, (5, 0), atol=0.1)


def test_pairs_are_taken_in_either_order():
    truth, pairs = series(4, np.random.default_rng(11))
    swapped = {(j, i): registration(pair.motion.inverse()) for (i, j), pair in pairs.items()}
    assert drift_errors(reconcile(swapped, 4), truth).max() < 1e-6


def test_frames_in_no_loop_have_no_closure():
    _, pairs = series(3, np.random.default_rng(1))
    del pairs[0, 2]
    assert np.isnan(reconcile(pairs, 3).closure).all()


def test_frames_without_a_chain_to_the_first_have_no_confidence():
    truth, pairs = series(4, np.random.default_rng(2))
    pairs = {edge: pair for edge, pair in pairs.items() if 3 not in edge}
    found = reconcile(pairs, 4)
    assert found.confidence[3] == 0
    assert (found.confidence[:3] > 0.9).all()
    np.testing.assert_array_equal(found.motions[3].drift, 0)
    np.testing.assert_array_equal(found.motions[3].matrix, np.eye(2))
    assert drift_errors(found, truth)[:3].max() < 1e-6


def test_agreement_of_doubtful_pairs_does_not_raise_the_confidence():
    _, pairs = series(3, np.random.default_rng(4))
    pairs = {edge: registration(pair.motion, 0.1) for edge, pair in pairs.items()}
    assert reconcile(pairs, 3).confidence[1:].max() < 0.2


GOOD = registration(Motion(SHAPE))


@pytest.mark.parametrize(
    ("registrations", "n_frames", "message"),
    [
        ({}, 3, "registrations is empty; register at least one pair"),
        ([((0, 1), GOOD)], 3, "registrations must be a Mapping; got"),
        ({(0, 3): GOOD}, 3, r"pair \(0, 3\), but there are 3 frames; pass pairs of two different"),
        ({(-1, 1): GOOD}, 3, r"pair \(-1, 1\), but there are 3 frames"),
        ({(1, 1): GOOD}, 3, r"pair \(1, 1\), but there are 3 frames"),
        ({(0, 1): GOOD}, 1, r"pair \(0, 1\), but there are 1 frames"),
        ({0: GOOD}, 3, "each key of registrations must be 2 items, each an int; got 0"),
        ({(0, 1, 2): GOOD}, 3, "each key of registrations must be 2 items"),
        ({(0, 1.0): GOOD}, 3, "each key of registrations must be 2 items"),
        ({"ab": GOOD}, 3, "each key of registrations must be 2 items"),
        ({(0, 1): GOOD.motion}, 3, r"registrations\[\(0, 1\)\] must be a Registration; got"),
        (
            {(0, 1): GOOD, (1, 2): registration(Motion((10, 10)))},
            3,
            r"different shapes \[\(10, 10\), \(200, 240\)\]; reconcile frames of one shape",
        ),
        ({(0, 1): GOOD}, 0, "n_frames must be an int of at least 1; got 0"),
        ({(0, 1): GOOD}, 2.0, r"n_frames must be an int of at least 1; got 2\.0"),
    ],
)
def test_bad_input_is_named(registrations, n_frames, message):
    with pytest.raises(ValueError, match=message):
        reconcile(registrations, n_frames)


@pytest.mark.parametrize("by", [(0, 0), (6, 0), (0, 6), (-5, -4)])
@pytest.mark.parametrize("angle", [-0.05, 0.08])
def test_the_closure_of_a_turned_pair_is_the_displacement_of_the_corners(angle, by):
    truth, pairs = series(5, np.random.default_rng(7))
    right = pairs[0, 3].motion
    turn = Motion.from_parameters(SHAPE, rotation=angle)
    pairs[0, 3] = registration(Motion(SHAPE, right.drift + by, turn.matrix @ right.matrix))
    found = reconcile(pairs, 5)
    assert drift_errors(found, truth).max() < 0.3
    # One of four pairs is wrong, by a drift and by the chord along which corners rotate.
    chord = 2 * np.sin(abs(angle) / 2) * np.hypot(*SHAPE) / 2
    expected = np.hypot(chord, np.hypot(*by)) / np.sqrt(4)
    np.testing.assert_allclose(found.closure[[0, 3]], expected, rtol=0.02)


@pytest.mark.parametrize("confidence", [0.1, 0.49, 0.5, 0.95])
def test_all_pairs_count_in_the_closure_by_their_confidence(confidence):
    _, pairs = series(5, np.random.default_rng(7))
    pairs[1, 3] = registration(displaced(pairs[1, 3].motion, (31, -18)), confidence=confidence)
    found = reconcile(pairs, 5)
    share = confidence / (confidence + 3 * 0.95)
    expected = np.hypot(31, 18) * np.sqrt(share)
    np.testing.assert_allclose(found.closure[[1, 3]], expected, rtol=0.01)
    assert found.closure[[0, 2, 4]].max() < 0.1


def test_a_pair_without_confidence_counts_for_frames_that_have_no_others():
    _, pairs = series(4, np.random.default_rng(7))
    for edge, pair in pairs.items():
        if 3 in edge:
            pairs[edge] = registration(displaced(pair.motion, (9 * edge[0], 0)), confidence=0.0)
    found = reconcile(pairs, 4)
    assert found.closure[:3].max() < 0.01
    assert found.closure[3] > 1


@pytest.mark.parametrize("vector", [(2.9, 0), (0, -8), (60, 70)])
@pytest.mark.parametrize("frame", [0, 2, 4])
def test_doubtful_pairs_do_not_outvote_a_certain_one(vector, frame):
    # Three of the ten pairs agree with each other, a lattice vector off.
    truth, pairs = series(5, np.random.default_rng(3), noise=0.05, linear=0)
    kept = (0, 4) if frame in (0, 4) else (frame, 4)
    for edge, pair in pairs.items():
        if frame in edge and edge != kept:
            by = np.array(vector) * (1 if edge[1] == frame else -1)
            pairs[edge] = registration(displaced(pair.motion, by), confidence=0.6)
    assert drift_errors(reconcile(pairs, 5), truth).max() < 0.5
    # Certain ones do outvote it.
    pairs = {edge: registration(p.motion, 0.95) for edge, p in pairs.items()}
    assert drift_errors(reconcile(pairs, 5), truth).max() > 2


@pytest.mark.parametrize("reference", [1, 3])
def test_motions_are_relative_to_the_reference(reference):
    truth, pairs = series(5, np.random.default_rng(3))
    found = reconcile(pairs, 5, reference=reference)
    start = truth[reference].inverse()
    assert drift_errors(found, [start.then(motion) for motion in truth]).max() < 1e-6
    np.testing.assert_array_equal(found.motions[reference].drift, 0)
    assert found.confidence[reference] == 1


def test_a_lost_frame_alone_has_no_confidence():
    for lost in range(5):
        truth, pairs = series(5, np.random.default_rng(lost))
        for edge in pairs:
            if lost in edge:
                pairs[edge] = registration(Motion(SHAPE, (70, -30)), confidence=0.02)
        reference = 1 if lost == 0 else 0
        found = reconcile(pairs, 5, reference=reference)
        others = [i for i in range(5) if i != lost]
        expected = [truth[reference].inverse().then(motion) for motion in truth]
        assert drift_errors(found, expected)[others].max() < 0.01
        assert found.confidence[others].min() > 0.9
        assert found.confidence[lost] < 0.05


def test_a_thousand_frames_are_placed():
    n_frames, rng = 1000, np.random.default_rng(0)
    drifts = np.cumsum(rng.normal(0, 3, (n_frames, 2)), axis=0)
    pairs = {}
    for i, j in frame_pairs(n_frames):
        wrong = rng.normal(0, 30, 2) if rng.random() < 0.1 else 0
        drift = drifts[j] - drifts[i] + rng.normal(0, 0.1, 2) + wrong
        pairs[i, j] = registration(Motion(SHAPE, drift), 0.9)
    found = reconcile(pairs, n_frames)
    error = np.array([motion.drift for motion in found.motions]) - (drifts - drifts[0])
    assert np.abs(error).max() < 0.3


def test_distances_are_in_pixels_of_the_frame():
    # Errors below half a pixel and 0.2 % of the side agree, much larger ones do not.
    for off, agrees in ((0.3, True), (3.0, False)):
        _, pairs = series(3, np.random.default_rng(5))
        pairs[0, 2] = registration(displaced(pairs[0, 2].motion, (0, off)))
        assert (reconcile(pairs, 3).confidence[1:] > 0.8).all() == agrees


def test_a_reference_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="reference is 2, but there are 2 frames"):
        reconcile({(0, 1): GOOD}, 2, reference=2)


def test_affine_motions_keep_their_shear():
    truth, pairs = series(4, np.random.default_rng(9), rigid=False)
    found = reconcile(pairs, 4)
    assert max(abs(motion.shear) for motion in truth) > 0.01
    for motion, expected in zip(found.motions, truth, strict=True):
        assert motion.shear == pytest.approx(expected.shear, abs=1e-6)


def test_confidence_is_that_of_the_likeliest_chain():
    _, pairs = series(4, np.random.default_rng(3))
    confidence = {(0, 1): 0.9, (1, 2): 0.8, (2, 3): 0.7}
    chain = {edge: registration(pairs[edge].motion, p) for edge, p in confidence.items()}
    expected = [1, 0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.7]
    np.testing.assert_allclose(reconcile(chain, 4).confidence, expected, rtol=1e-6)
    # The result is the same for pairs (j, i) in reverse order.
    swapped = {
        (j, i): registration(pair.motion.inverse(), pair.confidence)
        for (i, j), pair in reversed(chain.items())
    }
    np.testing.assert_allclose(reconcile(swapped, 4).confidence, expected, rtol=1e-6)


def test_a_wrong_pair_among_exact_ones_moves_no_frame_by_a_hundredth_of_a_px():
    truth, pairs = series(5, np.random.default_rng(7))
    pairs[1, 3] = registration(displaced(pairs[1, 3].motion, (31, -18)), confidence=0.99)
    assert drift_errors(reconcile(pairs, 5), truth).max() < 0.01


def test_residuals_within_the_tolerance_lower_the_confidence():
    _, pairs = series(3, np.random.default_rng(5))
    pairs[0, 2] = registration(displaced(pairs[0, 2].motion, (0, 0.9)))
    found = reconcile(pairs, 3)
    assert found.confidence[1:].max() < 0.93
    assert found.confidence[1:].min() > 0.6


@pytest.mark.parametrize("error", [0.03, 1.0, 2.5])
@pytest.mark.parametrize("confidence", [(0.9, 0.9, 0.9), (0.3, 0.8, 0.6)])
def test_the_error_of_a_loop_is_shared_by_confidence_and_residual(error, confidence):
    # Where the loss of Geman and McClure is least, weight times residual is that of all pairs.
    drifts = {(0, 1): (3, 0), (1, 2): (2, 0), (0, 2): (5 + error, 0)}
    pairs = {
        edge: registration(Motion(SHAPE, drift), p)
        for (edge, drift), p in zip(drifts.items(), confidence, strict=True)
    }
    motions = reconcile(pairs, 3).motions
    residual = np.array(
        [drift[0] - (motions[j].drift - motions[i].drift)[0] for (i, j), drift in drifts.items()]
    )
    tolerance = 0.5 + 0.002 * max(SHAPE)
    force = -np.log1p(-np.array(confidence)) * residual / (1 + (residual / tolerance) ** 2) ** 2
    assert residual[2] - residual[0] - residual[1] == pytest.approx(error)
    np.testing.assert_allclose(force, force[2] * np.array([-1, -1, 1]), rtol=0.02)
