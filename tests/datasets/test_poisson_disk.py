import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.stats import ks_2samp
from scipy.stats.qmc import PoissonDisk

from stemkit._arrays import maker_like
from stemkit.datasets._poisson_disk import DENSITY, _Grid, bridson_points, poisson_disk_points

SIDES = st.lists(st.floats(0.5, 14), min_size=1, max_size=4)


def draw(heights, widths, seed, *, tensors=False, fixed=None, sample=poisson_disk_points):
    sides = [np.array(side, dtype=np.float32) for side in (heights, widths)]
    if not tensors:
        return sample(*sides, np.random.default_rng(seed), fixed=fixed)
    if fixed is not None:
        fixed = tuple(torch.from_numpy(values) for values in fixed)
    generator = torch.Generator().manual_seed(seed)
    found = sample(*(torch.from_numpy(side) for side in sides), generator, fixed=fixed)
    return tuple(values.numpy() for values in found)


@settings(max_examples=30)
@given(SIDES, st.integers(0, 2**32), st.booleans())
def test_points_keep_the_minimal_distance_and_lie_in_their_fields(sides, seed, tensors):
    widths = sides[::-1]
    field, y, x = draw(sides, widths, seed, tensors=tensors)
    assert y.dtype == x.dtype == np.float32
    for number, (height, width) in enumerate(zip(sides, widths, strict=True)):
        points = np.stack([y, x], axis=1)[field == number].astype(float)
        assert (points >= 0).all()
        assert (points < np.array([height, width]) + 0.25).all()
        if len(points):
            assert not cKDTree(points).query_pairs(1 - 1e-5)


@settings(max_examples=30)
@given(st.integers(1, 250), st.integers(0, 2**32), st.booleans())
def test_the_same_candidates_are_accepted_as_in_a_loop_over_them(n_candidates, seed, tensors):
    rng = np.random.default_rng(seed)
    field = rng.integers(2, size=n_candidates)
    y, x = rng.uniform(0, 6, (2, n_candidates)).astype(np.float32)
    order = rng.permutation(n_candidates)
    expected = []
    for one in np.argsort(order):
        if all(
            field[one] != field[other] or (y[one] - y[other]) ** 2 + (x[one] - x[other]) ** 2 >= 1
            for other in expected
        ):
            expected.append(one)
    candidates = [torch.from_numpy(a) if tensors else a for a in (field, y, x, order)]
    accepted = _Grid(2, 13, 13, maker_like(candidates[1])).accept(*candidates)
    assert sorted(accepted.tolist()) == sorted(expected)


def test_only_subcells_that_can_hold_no_point_are_left_out():
    rng = np.random.default_rng(0)
    grid = _Grid(1, 13, 13, maker_like(np.empty(0)))
    side = np.array([6.0], dtype=np.float32)
    inside = grid.subcells_inside(side, side)
    free = inside.copy()
    y, x = np.array([[1.3, 4.1, 2.2], [1.1, 1.9, 5.0]], dtype=np.float32)
    grid.cover(free, np.zeros(3, dtype=int), y, x)
    covered = np.flatnonzero(inside & ~free)
    assert len(covered) > 100
    repeated = np.repeat(covered, 50)
    _, at_y, at_x = grid.positions(repeated, *rng.random((2, len(repeated)), dtype=np.float32))
    distance = np.hypot(at_y[:, None] - y, at_x[:, None] - x).min(axis=1)
    assert distance.max() < 1


@pytest.mark.parametrize("tensors", [False, True])
@pytest.mark.parametrize("sample", [poisson_disk_points, bridson_points])
def test_no_point_is_too_close_to_a_fixed_one(sample, tensors):
    grid = np.stack(np.meshgrid(np.arange(1.0, 9, 2), np.arange(1.0, 9, 2)), axis=-1)
    y, x = grid.reshape(-1, 2).T.astype(np.float32)
    field = np.ones(len(y), dtype=int)
    if sample is bridson_points:  # it only accepts fields with a fixed point
        field[0], y[0], x[0] = 0, 5, 5
    fixed = field, y, x
    number, new_y, new_x = draw([10, 10], [10, 10], 3, tensors=tensors, fixed=fixed, sample=sample)
    new = np.stack([new_y, new_x], axis=1)
    for k in (0, 1):
        present = np.stack([y, x], axis=1)[field == k]
        if len(present):
            distance, _ = cKDTree(present).query(new[number == k])
            assert distance.min() >= 1 - 1e-6
    assert 10 < (number == 1).sum() < (number == 0).sum()


def test_density_and_nearest_distances_equal_scipy_s():
    side, rim = 30.0, 2.0

    def measure(points):
        inner = ((points > rim) & (points < side - rim)).all(axis=1)
        nearest = cKDTree(points).query(points[inner], 2)[0][:, 1]
        return inner.sum() / (side - 2 * rim) ** 2, nearest

    theirs = [
        measure(side * PoissonDisk(2, radius=1 / side, rng=seed).fill_space()) for seed in (0, 1)
    ]
    field, y, x = draw([side] * 12, [side] * 12, 0)
    ours = [
        measure(np.stack([y, x], axis=1)[field == number].astype(float)) for number in range(12)
    ]
    density = np.mean([one[0] for one in ours])
    assert density == pytest.approx(np.mean([one[0] for one in theirs]), rel=0.025)
    assert density == pytest.approx(DENSITY, rel=0.01)
    # The distributions are close, not equal: quantiles agree to 2 % of the minimal distance.
    quantiles = np.linspace(0.05, 0.95, 10)
    apart = [
        np.quantile(np.concatenate([n for _, n in these]), quantiles) for these in (ours, theirs)
    ]
    np.testing.assert_allclose(*apart, atol=0.02)


def test_tensors_have_the_distribution_of_arrays():
    def summarize(tensors):
        field, y, x = draw([9.0] * 300, [9.0] * 300, 1, tensors=tensors)
        nearest = cKDTree(np.stack([field * 100, y, x], axis=1)).query(
            np.stack([field * 100, y, x], axis=1), 2
        )[0][:, 1]
        # One distance a field, because those of neighbours are correlated.
        first = np.unique(field, return_index=True)[1]
        return np.bincount(field), nearest[first], y[first], x[first]

    for ours, theirs in zip(summarize(False), summarize(True), strict=True):
        assert ks_2samp(ours, theirs).pvalue > 1e-6


class LargestDraws(np.random.Generator):
    """Draws the largest float below 1, so that each point lies at the end of its subcell."""

    def random(self, size=None, dtype=np.float64, out=None):
        return np.full(size, np.nextafter(dtype(1), dtype(0)), dtype)


@pytest.mark.parametrize("cells", [20.9, 28.9, 29, 45.95])
def test_points_that_rounding_puts_beyond_the_last_cell_are_kept(cells):
    side = np.array([cells * np.sqrt(0.5)], dtype=np.float32)
    _, y, x = poisson_disk_points(side, side, LargestDraws(np.random.PCG64(0)))
    assert max(y.max(), x.max()) < side[0] + 0.25
    assert cKDTree(np.stack((y, x), 1)).query_pairs(1 - 1e-6) == set()
