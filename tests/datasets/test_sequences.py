import numpy as np
import pytest
import torch
from scipy import ndimage

from stemkit._scene import render_columns
from stemkit.datasets import make_damage_sequence, make_drift_pairs, make_scene
from stemkit.drift import coverage, warp
from stemkit.exceptions import InvalidParameterError

SHAPE = (64, 80)
KINDS = ["gaussian", "perlin", "random"]
QUIET = {"dose": None, "row_jitter": 0.0}


@pytest.mark.parametrize("kind", KINDS)
def test_damage_grows_linearly_from_0(kind):
    series = make_damage_sequence(kind, shape=SHAPE, random_state=0)
    assert series.frames.shape == series.decay.shape == series.pattern.shape == (10, *SHAPE)
    np.testing.assert_allclose(series.strength, np.linspace(0, 0.9, 10))
    expected = 1 - series.strength[:, None, None] * series.pattern
    np.testing.assert_allclose(series.decay, expected, atol=1e-6)
    assert series.pattern.min() >= 0
    assert series.pattern.max() <= 1
    assert (np.diff(series.decay, axis=0) <= 1e-6).all()
    assert (series.decay[0] == 1).all()
    assert all(series[name].dtype == np.float32 for name in ("frames", "clean", "decay", "pattern"))


def test_only_the_hole_changes_its_pattern():
    hole = make_damage_sequence("gaussian", shape=SHAPE, random_state=0).pattern
    widths = hole.sum(axis=(1, 2))
    assert (np.diff(widths) > 0).all()
    np.testing.assert_allclose(hole[:, 31:33, 39:41], 1, atol=0.02)
    for kind in ("perlin", "random"):
        pattern = make_damage_sequence(kind, shape=SHAPE, random_state=0).pattern
        np.testing.assert_array_equal(pattern, np.broadcast_to(pattern[0], pattern.shape))


@pytest.mark.parametrize("kind", KINDS)
def test_clean_frames_are_the_scene_times_its_decay(kind):
    scene = make_scene(SHAPE, content="perfect", random_state=1)
    series = make_damage_sequence(kind, 4, shape=SHAPE, scene=scene, background=0.3, random_state=0)
    assert series.scene is scene
    expected = render_columns(scene, SHAPE) * series.decay + 0.3
    np.testing.assert_allclose(series.clean, expected, atol=1e-5)
    np.testing.assert_array_equal(series.frames, series.clean)


def test_noise_and_jitter_differ_between_frames():
    scene = make_scene(SHAPE, content="perfect", random_state=1)
    common = {"n_frames": 4, "shape": SHAPE, "scene": scene, "random_state": 0}
    noisy = make_damage_sequence("gaussian", dose=50, **common)
    noise = noisy.frames - noisy.clean
    assert np.abs(np.corrcoef(noise.reshape(4, -1)) - np.eye(4)).max() < 0.08
    ratio = noise.var(axis=(1, 2)) / (noisy.clean.mean(axis=(1, 2)) / 50)
    np.testing.assert_allclose(ratio, 1, atol=0.15)
    jittered = make_damage_sequence("gaussian", row_jitter=1.5, max_strength=1e-6, **common)
    change = np.abs(np.diff(jittered.frames, axis=0)).mean(axis=(1, 2))
    assert (change > 0.02).all()


@pytest.mark.parametrize("kind", KINDS)
def test_row_jitter_does_not_change_the_true_decay(kind):
    common = {"shape": SHAPE, "random_state": 3}
    straight = make_damage_sequence(kind, **common)
    jittered = make_damage_sequence(kind, row_jitter=1.5, **common)
    np.testing.assert_array_equal(jittered.decay, straight.decay)
    assert not np.array_equal(jittered.clean, straight.clean)


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"n_frames": 1}, r"^n_frames must be an int of at least 2; got 1"),
        ({"n_frames": 2.5}, r"^n_frames must be an int"),
        ({"shape": (8,)}, r"^shape must be \(H, W\)"),
        ({"scene": "lattice"}, "^scene must be a Scene or None"),
        ({"max_strength": 0}, r"^max_strength must be a finite number in \(0, 1\]; got 0"),
        ({"max_strength": 1.1}, "^max_strength must be"),
        ({"kind": "fog"}, "^kind must be one of"),
        ({"dose": 0}, "^dose must be .* above 0"),
        ({"background": np.nan}, "^background must be a finite number"),
        ({"row_jitter": -1}, "^row_jitter must be"),
        ({"random_state": 0.5}, "^random_state must be"),
    ],
)
def test_invalid_sequences_are_named(arguments, what):
    with pytest.raises(InvalidParameterError, match=what):
        make_damage_sequence(**{"shape": SHAPE, "random_state": 0, **arguments})


def test_the_true_drift_is_that_of_the_motion():
    data = make_drift_pairs(60, shape=(24, 40), random_state=0)
    assert data.pairs.shape == data.clean.shape == (60, 2, 24, 40)
    for index, motion in enumerate(data.motion):
        np.testing.assert_array_equal(motion.drift, data.drift[index])
        assert motion.rotation == data.rotation[index]
        assert motion.shape == (24, 40)
    relative = np.abs(data.drift / (24, 40)).max(axis=0)
    assert (relative <= 0.15).all()
    assert (relative > 0.13).all()
    degrees = np.abs(np.rad2deg(data.rotation))
    assert 4.5 < degrees.max() <= 5
    # Drift occurs in both directions along both axes.
    assert (np.abs(np.sign(data.drift).mean(axis=0)) < 0.4).all()


def test_shear_does_not_change_the_drift():
    common = {"shape": (24, 40), "random_state": 0, "damage": None, **QUIET}
    sheared = make_drift_pairs(40, max_shear=0.02, **common)
    linear = np.array([[motion.shear, motion.stretch] for motion in sheared.motion])
    assert (np.abs(linear) <= 0.02).all()
    assert (np.abs(linear).max(axis=0) > 0.017).all()
    np.testing.assert_array_equal(sheared.drift, make_drift_pairs(40, **common).drift)


@pytest.mark.parametrize("max_shear", [0.0, 0.01])
@pytest.mark.parametrize("damage", [None, *KINDS])
def test_the_second_frame_warped_back_is_the_faded_first(damage, max_shear):
    data = make_drift_pairs(
        6,
        shape=(96, 110),
        content="perfect",
        damage=damage,
        max_shear=max_shear,
        background=0.2,
        random_state=4,
        **QUIET,
    )
    np.testing.assert_array_equal(data.pairs, data.clean)
    for (first, second), motion, decay in zip(data.clean, data.motion, data.decay, strict=True):
        back = warp(second, motion.inverse())
        inside = ndimage.binary_erosion(coverage(motion.inverse()), iterations=4, border_value=0)
        assert inside.sum() > 3000
        expected = (first - 0.2) * decay + 0.2
        assert np.sqrt(np.mean((back - expected)[inside] ** 2)) < 0.02 * first.std()


def test_aperiodic_pairs_correlate_once_aligned():
    data = make_drift_pairs(6, shape=(96, 110), random_state=4, **QUIET)
    for (first, second), motion, decay in zip(data.clean, data.motion, data.decay, strict=True):
        back = warp(second, motion.inverse())
        inside = ndimage.binary_erosion(coverage(motion.inverse()), iterations=4, border_value=0)
        # The film does not decay, so that the correlation is slightly below 1.
        assert np.corrcoef(back[inside], ((first - 0.1) * decay)[inside])[0, 1] > 0.96
        assert (decay < 1).any()


def border_share(second, motion):
    """Return the mean and contrast outside the first frame, relative to those inside."""
    new = ~coverage(motion)
    return second[new].mean() / second[~new].mean(), second[new].std() / second[~new].std()


@pytest.mark.parametrize("max_drift", [0.15, 0.7])
def test_no_border_reveals_the_drift(max_drift):
    data = make_drift_pairs(
        24,
        shape=(64, 64),
        content="perfect",
        damage=None,
        max_drift=max_drift,
        background=0.0,
        random_state=1,
        **QUIET,
    )
    shares = [border_share(pair[1], m) for pair, m in zip(data.clean, data.motion, strict=True)]
    np.testing.assert_allclose(np.median(shares, axis=0), 1, atol=0.06)
    assert np.min(shares) > 0.5
    # As a control, the first frame is warped with a black border.
    warped = [
        border_share(warp(pair[0], m, fill=0.0), m)
        for pair, m in zip(data.clean, data.motion, strict=True)
    ]
    assert np.median(warped) < 0.2


def test_the_field_is_large_enough_for_the_largest_drift():
    data = make_drift_pairs(
        12, shape=(64, 64), content="perfect", damage=None, max_drift=1.5, random_state=1, **QUIET
    )
    assert np.abs(data.drift).max() > 80
    # No pixel is further from a column than the longest lattice vector.
    assert all(ndimage.maximum_filter(pair[1], 49).min() > 0.5 for pair in data.clean)


def test_a_pair_does_not_depend_on_the_number_of_pairs():
    few, many = (make_drift_pairs(n, shape=(32, 32), random_state=9) for n in (2, 5))
    np.testing.assert_array_equal(few.pairs, many.pairs[:2])
    np.testing.assert_array_equal(few.decay, many.decay[:2])
    assert np.abs(np.diff(many.drift, axis=0)).min() > 0
    assert (make_drift_pairs(2, shape=(32, 32), random_state=8).pairs != few.pairs).any()


def test_perfect_pairs_have_a_basis():
    perfect = make_drift_pairs(2, shape=(32, 32), content="perfect", random_state=0)
    assert [basis.shape for basis in perfect.basis] == [(2, 2), (2, 2)]
    assert make_drift_pairs(2, shape=(32, 32), random_state=0).basis == [None, None]


def test_clean_frames_have_no_noise_or_jitter():
    common = {"n_pairs": 3, "shape": SHAPE, "random_state": 2}
    quiet = make_drift_pairs(**common, **QUIET)
    noisy = make_drift_pairs(**common, dose=8, row_jitter=1.5)
    np.testing.assert_array_equal(quiet.clean, noisy.clean)
    jittered = make_drift_pairs(**common, dose=None, row_jitter=1.5)
    assert np.abs(jittered.pairs - jittered.clean).mean() > 0.01
    counts = noisy.pairs * 8
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)


def test_global_state_is_not_changed():
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()
    make_drift_pairs(1, shape=(24, 24))
    make_damage_sequence("random", 2, shape=(24, 24))
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)
    assert torch.equal(torch.get_rng_state(), torch_before)


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"n_pairs": 0}, "^n_pairs must be an int of at least 1; got 0"),
        ({"shape": 24}, r"^shape must be \(H, W\)"),
        ({"damage": "fog"}, "^damage must be one of"),
        ({"content": "glass"}, "^content must be one of"),
        ({"dose": -1}, "^dose must be .* above 0"),
        ({"max_drift": -0.1}, "^max_drift must be"),
        ({"max_rotation": np.nan}, "^max_rotation must be .* of degrees"),
        ({"max_shear": 0.7}, r"^max_shear must be .* of px per row in \[0, 0.5\)"),
        ({"max_strength": 2}, "^max_strength must be"),
        ({"row_jitter": -1}, "^row_jitter must be"),
    ],
)
def test_invalid_pairs_are_named(arguments, what):
    with pytest.raises(InvalidParameterError, match=what):
        make_drift_pairs(**{"shape": (24, 24), "n_pairs": 1, "random_state": 0} | arguments)
