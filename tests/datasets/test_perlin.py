import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stemkit.datasets._perlin import hash_tables, perlin_noise


def test_it_gives_the_values_that_pnoise2_gave():
    # noise.pnoise2(y, x, octaves=1) and octaves=6, of release 1.2.2
    known = np.array(
        [
            (0.25, 0.75, 0.123284, 0.094367),
            (3.1, 7.9, -0.091506, -0.094588),
            (100.5, 17.25, -0.012939, -0.006572),
            (254.75, 255.5, 0.271484, 0.137897),
            (-1.4, 2.6, 0.069542, 0.025885),
            (12.34, -56.78, -0.507191, -0.387456),
        ]
    )
    y, x = known.T[:2].astype(np.float32)
    for octaves, values in zip((1, 6), known.T[2:], strict=True):
        np.testing.assert_allclose(perlin_noise(y, x, octaves=octaves), values, atol=2e-5)


@pytest.mark.parametrize("repeat", [None, (1024, 1024), (7, 12), (256, 3)])
@pytest.mark.parametrize(
    "octaves, persistence, lacunarity", [(1, 0.5, 2.0), (6, 0.5, 2.0), (4, 0.7, 2.0), (3, 0.4, 4.0)]
)
def test_both_backends_agree(octaves, persistence, lacunarity, repeat):
    pytest.importorskip("noise", reason="needs the package noise")
    y, x = np.random.default_rng(0).uniform(-20, 200, (2, 3000)).astype(np.float32)
    options = {"octaves": octaves, "persistence": persistence, "lacunarity": lacunarity}
    ours, theirs = (
        perlin_noise(y, x, repeat=repeat, backend=backend, **options)
        for backend in ("stemkit", "noise")
    )
    assert theirs.std() > 0.1
    assert theirs.dtype == ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_both_backends_agree_if_frequencies_are_no_powers_of_two():
    pytest.importorskip("noise", reason="needs the package noise")
    y, x = np.random.default_rng(0).uniform(0, 200, (2, 2000)).astype(np.float32)
    ours, theirs = (
        perlin_noise(y, x, octaves=4, persistence=0.7, lacunarity=1.7, backend=backend)
        for backend in ("stemkit", "noise")
    )
    # Both round the coordinates of fine octaves to float32, but differently.
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert np.abs(ours - theirs).mean() < 1e-5


def test_noise_repeats_after_its_period():
    y, x = np.random.default_rng(0).integers(0, 64 * 40, (2, 500)).astype(np.float32) / 64
    once = perlin_noise(y, x, repeat=(5, 8))
    np.testing.assert_array_equal(perlin_noise(y + 5, x, repeat=(5, 8)), once)
    np.testing.assert_array_equal(perlin_noise(y, x + 8, repeat=(5, 8)), once)
    assert not np.array_equal(perlin_noise(y + 5, x), perlin_noise(y, x))


def test_the_package_takes_tensors_and_has_its_own_table():
    pytest.importorskip("noise", reason="needs the package noise")
    points = torch.tensor([[0.25, 3.1], [0.75, 7.9]])
    found = perlin_noise(points[0], points[1], octaves=1, backend="noise")
    np.testing.assert_allclose(found, [0.123284, -0.091506], atol=2e-6)
    with pytest.raises(ValueError, match="leave them out"):
        perlin_noise(points[0], points[1], hash_tables(1, points, None), backend="noise")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "noise", None)
    with pytest.raises(ImportError, match=r"needs the package noise.*stemkit\[noise\]"):
        perlin_noise(np.zeros(1), np.zeros(1), backend="noise")


def test_tensors_give_what_arrays_give():
    y, x = np.random.default_rng(1).uniform(-50, 300, (2, 500)).astype(np.float32)
    which = np.arange(500) % 3
    tables = hash_tables(3, y, np.random.default_rng(2))
    ours = perlin_noise(y, x, tables, which)
    tensors = (torch.from_numpy(a) for a in (y, x, tables, which))
    np.testing.assert_allclose(perlin_noise(*tensors).numpy(), ours, atol=1e-6)
    for number in range(3):
        alone = perlin_noise(y, x, tables[[number]])
        np.testing.assert_array_equal(ours[which == number], alone[which == number])


def test_tables_are_orders_and_differ():
    tables = hash_tables(4, np.empty(0, dtype=np.float32), np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(tables), np.tile(np.arange(256), (4, 1)))
    assert len(np.unique(tables, axis=0)) == 4


@given(st.integers(-300, 300), st.integers(-300, 300), st.floats(0, 1), st.integers(0, 2**32))
def test_noise_is_zero_at_grid_points_continuous_and_periodic(row, column, along, seed):
    table = hash_tables(1, np.empty(0, dtype=np.float32), np.random.default_rng(seed))

    def at(y, x):
        return float(perlin_noise(np.float64([y]), np.float64([x]), table, octaves=1)[0])

    assert at(row, column) == 0
    assert at(row + along, column) == pytest.approx(at(row + along, column - 1e-9), abs=1e-7)
    assert at(row + along, column + 0.3) == pytest.approx(at(row + along - 256, column + 0.3))
    assert abs(at(row + along, column + 0.5)) <= 1
