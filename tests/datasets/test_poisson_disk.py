import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.stats import ks_2samp
from scipy.stats.qmc import PoissonDisk

from stemkit.datasets._device_arrays import device_of
from stemkit.datasets._poisson_disk import DENSITY, _Board, throw_darts

SIDES = st.lists(st.floats(0.5, 14), min_size=1, max_size=4)


def throw(heights, widths, seed, *, tensors=False, fixed=None):
    sides = [np.array(side, dtype=np.float32) for side in (heights, widths)]
    if not tensors:
        return throw_darts(*sides, np.random.default_rng(seed), fixed=fixed)
    if fixed is not None:
        fixed = tuple(torch.from_numpy(values) for values in fixed)
    generator = torch.Generator().manual_seed(seed)
    found = throw_darts(*(torch.from_numpy(side) for side in sides), generator, fixed=fixed)
    return tuple(values.numpy() for values in found)


@settings(max_examples=30)
@given(SIDES, st.integers(0, 2**32), st.booleans())
def test_points_keep_their_distance_and_their_fields(sides, seed, tensors):
    widths = sides[::-1]
    field, y, x = throw(sides, widths, seed, tensors=tensors)
    assert y.dtype == x.dtype == np.float32
    for number, (height, width) in enumerate(zip(sides, widths, strict=True)):
        points = np.stack([y, x], axis=1)[field == number].astype(float)
        assert (points >= 0).all()
        assert (points < np.array([height, width]) + 0.25).all()
        if len(points):
            assert not cKDTree(points).query_pairs(1 - 1e-5)


@settings(max_examples=30)
@given(st.integers(1, 250), st.integers(0, 2**32), st.booleans())
def test_those_stay_that_stay_when_thrown_one_by_one(n_darts, seed, tensors):
    rng = np.random.default_rng(seed)
    field = rng.integers(2, size=n_darts)
    y, x = rng.uniform(0, 6, (2, n_darts)).astype(np.float32)
    order = rng.permutation(n_darts)
    stayed = []
    for dart in np.argsort(order):
        if all(
            field[dart] != field[other]
            or (y[dart] - y[other]) ** 2 + (x[dart] - x[other]) ** 2 >= 1
            for other in stayed
        ):
            stayed.append(dart)
    darts = [torch.from_numpy(a) if tensors else a for a in (field, y, x, order)]
    kept = _Board(2, 13, 13, device_of(darts[1])).settle(*darts)
    assert sorted(kept.tolist()) == sorted(stayed)


def test_only_what_no_dart_could_hold_is_left_out():
    rng = np.random.default_rng(0)
    board = _Board(1, 13, 13, device_of(np.empty(0)))
    side = np.array([6.0], dtype=np.float32)
    everywhere = board.spots_inside(side, side)
    live = everywhere.copy()
    y, x = np.array([[1.3, 4.1, 2.2], [1.1, 1.9, 5.0]], dtype=np.float32)
    board.cover(live, np.zeros(3, dtype=int), y, x)
    spots = np.flatnonzero(everywhere & ~live)
    assert len(spots) > 100
    darts = np.repeat(spots, 50)
    _, dart_y, dart_x = board.positions(darts, *rng.random((2, len(darts)), dtype=np.float32))
    distance = np.hypot(dart_y[:, None] - y, dart_x[:, None] - x).min(axis=1)
    assert distance.max() < 1


@pytest.mark.parametrize("tensors", [False, True])
def test_fixed_points_are_kept_clear_of(tensors):
    grid = np.stack(np.meshgrid(np.arange(1.0, 9, 2), np.arange(1.0, 9, 2)), axis=-1)
    y, x = grid.reshape(-1, 2).T.astype(np.float32)
    fixed = np.ones(len(y), dtype=int), y, x
    field, dart_y, dart_x = throw([10, 10], [10, 10], 3, tensors=tensors, fixed=fixed)
    darts = np.stack([dart_y, dart_x], axis=1)
    distance, _ = cKDTree(np.stack([y, x], axis=1)).query(darts)
    assert distance[field == 1].min() >= 1 - 1e-6
    assert distance[field == 0].min() < 0.9
    assert (field == 1).sum() < (field == 0).sum()


def test_density_and_distances_are_those_of_scipy():
    side, rim = 30.0, 2.0

    def measure(points):
        inner = ((points > rim) & (points < side - rim)).all(axis=1)
        nearest = cKDTree(points).query(points[inner], 2)[0][:, 1]
        return inner.sum() / (side - 2 * rim) ** 2, nearest

    theirs = [
        measure(side * PoissonDisk(2, radius=1 / side, rng=seed).fill_space()) for seed in (0, 1)
    ]
    field, y, x = throw([side] * 12, [side] * 12, 0)
    ours = [
        measure(np.stack([y, x], axis=1)[field == number].astype(float)) for number in range(12)
    ]
    density = np.mean([one[0] for one in ours])
    assert density == pytest.approx(np.mean([one[0] for one in theirs]), rel=0.025)
    assert density == pytest.approx(DENSITY, rel=0.01)
    # The laws are close, not the same: the quantiles agree to 2 % of the minimal distance.
    quantiles = np.linspace(0.05, 0.95, 10)
    apart = [
        np.quantile(np.concatenate([n for _, n in these]), quantiles) for these in (ours, theirs)
    ]
    np.testing.assert_allclose(*apart, atol=0.02)


def test_tensors_have_the_law_of_arrays():
    def law(tensors):
        field, y, x = throw([9.0] * 300, [9.0] * 300, 1, tensors=tensors)
        nearest = cKDTree(np.stack([field * 100, y, x], axis=1)).query(
            np.stack([field * 100, y, x], axis=1), 2
        )[0][:, 1]
        # One distance a field: those of neighbours depend on each other.
        first = np.unique(field, return_index=True)[1]
        return np.bincount(field), nearest[first], y[first], x[first]

    for ours, theirs in zip(law(False), law(True), strict=True):
        assert ks_2samp(ours, theirs).pvalue > 1e-6


class AtTheEnd(np.random.Generator):
    """Throws every dart as far down and right in its spot as it can come."""

    def random(self, size=None, dtype=np.float64, out=None):
        return np.full(size, np.nextafter(dtype(1), dtype(0)), dtype)


@pytest.mark.parametrize("cells", [20.9, 28.9, 29, 45.95])
def test_darts_that_rounding_takes_beyond_the_last_cell_are_taken(cells):
    side = np.array([cells * np.sqrt(0.5)], dtype=np.float32)
    _, y, x = throw_darts(side, side, AtTheEnd(np.random.PCG64(0)))
    assert max(y.max(), x.max()) < side[0] + 0.25
    assert cKDTree(np.stack((y, x), 1)).query_pairs(1 - 1e-6) == set()
