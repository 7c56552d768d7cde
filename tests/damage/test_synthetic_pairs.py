import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from stemkit._scene import render_columns
from stemkit.damage import _synthetic_pairs
from stemkit.damage._decay_estimates import N_EVIDENCE
from stemkit.damage._synthetic_pairs import (
    SPACING,
    motion_to_theta,
    normalize_pair,
    synthetic_batch,
    theta_to_motion,
)
from stemkit.datasets import make_scene
from stemkit.drift import Motion


def lattice(shape=(96, 112), seed=0):
    scene = make_scene(shape, content="perfect", spacing=(9, 14), random_state=seed)
    return render_columns(scene, shape)


@pytest.mark.parametrize("gain", [1e-12, 1e-6, 1e-3, 7.0, 1e4, 1e8])
@pytest.mark.parametrize("offset", [0.0, 5.0, -5.0])
def test_normalised_pairs_know_neither_gain_nor_offset(gain, offset):
    first = lattice()
    second = 0.4 * first + 0.1
    expected = normalize_pair(first, second)
    scaled = [(gain * (frame + offset)).astype("float32") for frame in (first, second)]
    np.testing.assert_allclose(normalize_pair(*scaled), expected, atol=1e-4)


def test_both_frames_are_put_on_one_scale():
    first = (lattice() * np.linspace(0.3, 2, 112)).astype("float32")
    one, same = normalize_pair(first, first)
    np.testing.assert_array_equal(one, same)
    # A second frame that is brighter everywhere stays so, most where the first has least contrast.
    _, brighter = normalize_pair(first, first + np.float32(0.3))
    assert (brighter > one).all()
    assert (brighter - one)[:, 10].mean() > 2 * (brighter - one)[:, 100].mean()


def test_first_frame_has_unit_contrast_and_the_second_keeps_what_it_lost():
    y, x = np.indices((96, 112)) / 96
    # A gradient of thickness over the field must not matter.
    first = (lattice() * (0.3 + y + x)).astype("float32")
    one, other = normalize_pair(first, 0.25 * first)
    assert one.dtype == other.dtype == np.float32
    inside = (slice(16, -16), slice(16, -16))
    assert one[inside].mean() == pytest.approx(0.5, abs=0.02)
    halves = [one[inside][:, part].std() for part in (slice(0, 40), slice(40, 80))]
    np.testing.assert_allclose(halves, halves[::-1], rtol=0.15)
    assert 0.15 < halves[0] < 0.35
    assert other[inside].std() == pytest.approx(0.25 * one[inside].std(), rel=0.1)


@pytest.mark.parametrize("second", [0.0, 3.0, 1e30])
@pytest.mark.parametrize("first", [0.0, 3.0, 1000.7, 1e30])
def test_constant_frames_stay_finite(first, second):
    pair = normalize_pair(*(np.full((40, 40), v, "float32") for v in (first, second)))
    assert np.isfinite(pair).all()
    # Rounding alone is no structure.
    assert np.ptp(pair[0]) < 0.5


def test_vacuum_is_not_blown_up_into_a_specimen():
    rng = np.random.default_rng(0)
    first = lattice((96, 192))
    first[:, 96:] = 0.01 * rng.standard_normal((96, 96))
    one, _ = normalize_pair(first, first)
    assert one[:, 140:].std() < 0.3 * one[:, :60].std()


@given(
    st.tuples(st.integers(2, 300), st.integers(2, 300)),
    st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    st.floats(-3, 3),
)
def test_theta_and_rigid_motions_are_each_others_reverse(shape, drift, rotation):
    motion = Motion.from_parameters(shape, drift=drift, rotation=rotation)
    again = theta_to_motion(motion_to_theta(motion), shape)
    np.testing.assert_allclose(again.drift, motion.drift, atol=1e-3)
    assert again.rotation == pytest.approx(rotation, abs=1e-5)


def test_theta_is_the_matrix_of_a_sampling_grid():
    side = 128
    motion = Motion.from_parameters((side, side), drift=(6.3, -9.1), rotation=np.deg2rad(7))
    scene = make_scene((side, side), random_state=2)
    first = render_columns(scene, (side, side))
    second = render_columns(scene, (side, side), motion=motion)
    angle, tx, ty = (float(value) for value in motion_to_theta(motion))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = torch.tensor([[[cos, -sin, tx], [sin, cos, ty]]], dtype=torch.float32)
    # At each position of the second frame the grid says where in the first one to look.
    grid = F.affine_grid(matrix, (1, 1, side, side), align_corners=True)
    drawn = F.grid_sample(
        torch.from_numpy(first)[None, None], grid, mode="bicubic", align_corners=True
    )[0, 0].numpy()
    inside = (slice(24, -24), slice(24, -24))
    np.testing.assert_allclose(drawn[inside], second[inside], atol=0.05)
    assert np.abs(first - second)[inside].max() > 0.5


def batch(seed=0, **arguments):
    arguments = {"batch_size": 6, "side": 48} | arguments
    return synthetic_batch(np.random.default_rng(seed), **arguments)


def test_batches_have_the_shapes_that_the_network_takes():
    first, second, t, evidence, decay, theta = arrays = batch(batch_size=12)
    assert first.shape == second.shape == decay.shape == (12, 1, 48, 48)
    assert t.shape == (12,)
    assert evidence.shape == (12, N_EVIDENCE + 1, 48, 48)
    assert theta.shape == (12, 3)
    assert all(array.dtype == np.float32 for array in arrays)
    assert all(np.isfinite(array).all() for array in arrays)
    for share in (evidence, decay, t / 100):
        assert share.min() >= 0
        assert share.max() <= 1


def test_batches_are_reproducible_and_leave_global_state_alone():
    before = np.random.get_state()[1].copy()
    for one, same in zip(batch(3), batch(3), strict=True):
        np.testing.assert_array_equal(one, same)
    assert (batch(4)[0] != batch(3)[0]).any()
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_only_some_pairs_move():
    half = (48 - 1) / 2
    still, moved = (batch(batch_size=40, unaligned=share)[-1] for share in (0.0, 1.0))
    # What a registration leaves: half a pixel and a fifth of a degree.
    assert np.abs(still[:, 1:]).max() * half < 0.51
    assert np.abs(np.rad2deg(still[:, 0])).max() <= 0.2
    assert np.abs(moved[:, 1:]).max() * half > 6
    assert np.abs(moved[:, 1:]).max() * half < 0.16 * 48
    assert 4 < np.abs(np.rad2deg(moved[:, 0])).max() <= 5


def test_decay_is_the_share_of_structure_left_at_the_second_frame():
    errors, spread = [], []
    for seed in range(12):
        _, _, t, evidence, decay, _ = batch(seed, side=96, batch_size=4, unaligned=0.0)
        for index in np.flatnonzero(t == 100):
            # The best estimate of each pixel is close to the truth, whatever the kind of damage.
            truth = decay[index, 0]
            errors.append(np.abs(evidence[index, :-1] - truth).min(axis=0).mean())
            spread.append(truth.mean())
    assert np.std(spread) > 0.15
    assert np.median(errors) < 0.05


def test_decay_in_between_is_exponential(monkeypatch):
    def even(y, x):
        return np.ones(np.broadcast_shapes(np.shape(y), np.shape(x)))

    monkeypatch.setattr(_synthetic_pairs, "_random_damage", lambda rng, shape: (even, 0.8))
    _, _, t, _, decay, _ = batch(batch_size=40, side=24)
    expected = 0.2 ** (t / 100)
    np.testing.assert_allclose(decay, np.broadcast_to(expected[:, None, None, None], decay.shape))
    # Most pairs are asked about their second frame, of which alone data tell.
    assert 4 < (t < 100).sum() < 20


def test_half_of_a_batch_is_cut_from_ones_own_frames():
    # Stripes that no lattice of the generator has: too close for its spacing.
    y = np.arange(90)[:, None] * np.ones((1, 70))
    own = np.sin(2 * np.pi * y / 3.2).astype("float32") + 1
    first = batch(1, batch_size=16, side=64, frames=[own], unaligned=0.0)[0][:, 0]
    power = np.abs(np.fft.fft2(first - first.mean(axis=(1, 2), keepdims=True))) ** 2
    peaks = [np.unravel_index(p[:33, :33].argmax(), (33, 33)) for p in power]
    striped = [set(map(int, peak)) == {0, 20} for peak in peaks]
    assert striped == [False, True] * 8
    assert SPACING[0] > 3.2


def test_frames_smaller_than_the_side_are_continued():
    own = [np.random.default_rng(0).random((20, 30)).astype("float32"), np.ones((5, 5), "float32")]
    arrays = batch(2, batch_size=8, frames=own, unaligned=0.0)
    assert arrays[0].shape == (8, 1, 48, 48)
    assert all(np.isfinite(array).all() for array in arrays)
