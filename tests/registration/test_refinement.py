import numpy as np
from scipy import ndimage

from stemkit.datasets import make_drift_pairs
from stemkit.registration import Motion
from stemkit.registration._correlation_search import weigh_frequencies
from stemkit.registration._refinement import correlation_margins, prepare, refine

SHAPE = (160, 144)


def test_margins_are_in_standard_errors():
    rng = np.random.default_rng(0)
    margins = []
    for _ in range(40):
        common, *own = ndimage.gaussian_filter(rng.normal(size=(3, 128, 128)), (0, 1.5, 1.5))
        frames = [prepare((common + noise).astype(np.float32)) for noise in own]
        # Two motions under which the frames agree by chance alone, over unlike overlaps.
        wrong = [Motion((128, 128), drift) for drift in ((40.0, -20.0), (9.0, 64.0))]
        margins.append(*correlation_margins(frames, wrong))
        right = [Motion((128, 128)), Motion((128, 128), (30, 5))]
        assert correlation_margins(frames, right)[0] > 5
    assert abs(np.mean(margins)) < 0.5
    assert 0.7 < np.std(margins) < 1.4


def test_an_estimate_does_not_depend_on_where_the_refinement_starts():
    data = make_drift_pairs(4, shape=SHAPE, random_state=31)
    # Steps shortened for noise would end before the optimum.
    for pair, motion in zip(data.pairs, data.motion, strict=True):
        frames = [prepare(weigh_frequencies(frame.astype(np.float32), 0.0)) for frame in pair]
        displaced = motion.drift + np.array([0.6, -0.5])
        turned = Motion.from_parameters(
            SHAPE, drift=displaced, rotation=motion.rotation + np.deg2rad(1)
        )
        from_truth, from_displaced = (
            refine(frames, m, ("rotation",), full_steps=True) for m in (motion, turned)
        )
        places = [[0, 0], [159, 143]]
        np.testing.assert_allclose(
            from_displaced.motion.apply(places), from_truth.motion.apply(places), atol=0.1
        )
