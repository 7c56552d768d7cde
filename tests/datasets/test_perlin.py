import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stemkit.datasets._perlin import hash_tables, perlin_noise

# Perlin's own table, which pnoise2 takes too.
TABLE = np.frombuffer(
    bytes.fromhex(
        "97a0895b5a0f830dc95f6035c2e907e18c24671e458e086325f0150a17be0694f778ea4b001ac53e"
        "5efcdbcb75230b2039b12158ed953857ae147d88aba844af4aa547868b301ba64d929ee7536fe57a"
        "3cd385e6dc695c29372ef528f4668f3641193fa101d85049d14c84bbd05912a9c8c4878274bc9f56"
        "a4646dc6adba034034d9e2fa7c7b05ca2693767eff5255d4cfce3be32f103a11b6bd1c2adfb7aad5"
        "77f898022c9aa346dd99659ba72bac09811627fd13626c6e4f71e0e8b2b97068daf661e4fb22f2c1"
        "eed2900cbfb3a2f1513391ebf90eef6b31c0d61fb5c76a9db854ccb07379322d7f0496fe8aeccd5d"
        "de72431d1848f38d80c34e42d73d9cb4"
    ),
    dtype=np.uint8,
).astype(np.int64)[None]


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
        np.testing.assert_allclose(perlin_noise(y, x, TABLE, octaves=octaves), values, atol=2e-5)


@pytest.mark.parametrize(
    "octaves, persistence, lacunarity", [(1, 0.5, 2.0), (6, 0.5, 2), (4, 0.7, 1.7)]
)
def test_it_is_pnoise2_wherever_that_is_installed(octaves, persistence, lacunarity):
    pnoise2 = pytest.importorskip("noise", reason="needs the package noise").pnoise2
    y, x = np.random.default_rng(0).uniform(0, 200, (2, 2000)).astype(np.float32)
    options = {"octaves": octaves, "persistence": persistence, "lacunarity": lacunarity}
    theirs = [pnoise2(*point, **options) for point in zip(y.tolist(), x.tolist(), strict=True)]
    # Their float32 loses digits at fine octaves as ours does.
    np.testing.assert_allclose(perlin_noise(y, x, TABLE, **options), theirs, atol=1e-3)
    assert np.abs(perlin_noise(y, x, TABLE, **options) - theirs).mean() < 1e-5


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
def test_it_is_nothing_at_knots_continuous_and_periodic(row, column, along, seed):
    table = hash_tables(1, np.empty(0, dtype=np.float32), np.random.default_rng(seed))

    def at(y, x):
        return float(perlin_noise(np.float64([y]), np.float64([x]), table, octaves=1)[0])

    assert at(row, column) == 0
    assert at(row + along, column) == pytest.approx(at(row + along, column - 1e-9), abs=1e-7)
    assert at(row + along, column + 0.3) == pytest.approx(at(row + along - 256, column + 0.3))
    assert abs(at(row + along, column + 0.5)) <= 1
