"""Products of two aligned frames."""

import numpy as np

from stemkit.damage._aligned_pair import AlignedPair, Background


def test_products_are_zero_outside_the_overlap():
    first, second = np.random.default_rng(0).random((2, 24, 30), dtype=np.float32)
    overlap = np.ones((24, 30), dtype=bool)
    overlap[:, :7] = False
    pair = AlignedPair.from_frames(first, second, overlap)
    for products in (pair.structure, pair.above(Background(np.full_like(first, 0.2), 0.1))):
        np.testing.assert_array_equal(products.overlap, overlap)
        for values in (products.reference, products.observed):
            assert (values[:, :7] == 0).all()
            assert (values[:, 7:] != 0).all()
