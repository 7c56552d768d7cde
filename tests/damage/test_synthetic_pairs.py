from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from stemkit.damage import _synthetic_pairs
from stemkit.damage._decay_estimates import N_ESTIMATES
from stemkit.damage._synthetic_pairs import SPACING, synthetic_batch
from stemkit.registration import Motion


def batch(seed=0, **arguments):
    arguments = {"batch_size": 6, "side": 48} | arguments
    return synthetic_batch(np.random.default_rng(seed), **arguments)


def test_batches_have_the_shapes_that_the_network_takes():
    first, second, t, estimates, decay, theta = arrays = batch(batch_size=12)
    assert first.shape == second.shape == decay.shape == (12, 1, 48, 48)
    assert t.shape == (12,)
    assert estimates.shape == (12, N_ESTIMATES + 1, 48, 48)
    assert theta.shape == (12, 3)
    assert all(array.dtype == np.float32 for array in arrays)
    assert all(np.isfinite(array).all() for array in arrays)
    for share in (estimates, decay, t / 100):
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
    aligned, moved = (batch(batch_size=40, unaligned=share)[-1] for share in (0.0, 1.0))
    # The error of a registration: half a pixel and a fifth of a degree.
    assert np.abs(aligned[:, 1:]).max() * half < 0.51
    assert np.abs(np.rad2deg(aligned[:, 0])).max() <= 0.2
    assert np.abs(moved[:, 1:]).max() * half > 6
    assert np.abs(moved[:, 1:]).max() * half < 0.16 * 48
    assert 4 < np.abs(np.rad2deg(moved[:, 0])).max() <= 5


def test_decay_is_the_share_of_structure_left_at_the_second_frame():
    errors, spread = [], []
    for seed in range(12):
        _, _, t, estimates, decay, _ = batch(seed, side=96, batch_size=4, unaligned=0.0)
        for index in np.flatnonzero(t == 100):
            # The best estimate of each pixel is close to the truth, whatever the kind of damage.
            truth = decay[index, 0]
            errors.append(np.abs(estimates[index, :-1] - truth).min(axis=0).mean())
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
    # Most pairs have t = 100, where the decay is measured.
    assert 4 < (t < 100).sum() < 20


def test_half_of_a_batch_is_cut_from_the_given_frames():
    # The period of the stripes is shorter than any lattice spacing of the generator.
    y = np.arange(90)[:, None] * np.ones((1, 70))
    own = np.sin(2 * np.pi * y / 3.2).astype("float32") + 1
    first = batch(1, batch_size=16, side=64, frames=[own], unaligned=0.0)[0][:, 0]
    power = np.abs(np.fft.fft2(first - first.mean(axis=(1, 2), keepdims=True))) ** 2
    peaks = [np.unravel_index(p[:33, :33].argmax(), (33, 33)) for p in power]
    striped = [set(map(int, peak)) == {0, 20} for peak in peaks]
    assert striped == [False, True] * 8
    assert SPACING[0] > 3.2


def test_frames_smaller_than_the_side_are_padded():
    own = [np.random.default_rng(0).random((20, 30)).astype("float32"), np.ones((5, 5), "float32")]
    arrays = batch(2, batch_size=8, frames=own, unaligned=0.0)
    assert arrays[0].shape == (8, 1, 48, 48)
    assert all(np.isfinite(array).all() for array in arrays)


def test_patterns_of_damage_lie_between_0_and_1_and_vary():
    rng = np.random.default_rng(0)
    y, x = np.indices((48, 48))
    patterns, strengths = [], []
    for _ in range(150):
        pattern, strength = _synthetic_pairs._random_damage(rng, (48, 48))
        patterns.append(np.asarray(pattern(y, x)))
        strengths.append(strength)
    for values in patterns:
        assert values.shape == (48, 48)
        assert values.min() >= 0
        assert values.max() <= 1 + 1e-6
    # Fronts cross the frame: damaged on one side and not on the other.
    assert sum(values.min() < 0.05 and values.max() > 0.95 for values in patterns) > 30
    assert 0.04 < np.mean(np.array(strengths) == 0) < 0.2
    assert np.std([s for s in strengths if s]) == pytest.approx(12**-0.5, rel=0.15)


def test_holes_lie_anywhere_in_the_frame(monkeypatch):
    centers, cells = [], []
    original = _synthetic_pairs.damage_pattern

    def record(kind, shape, **options):
        if kind == "gaussian":
            centers.append(options["center"])
            cells.append(options["cell"])
        return original(kind, shape, **options)

    monkeypatch.setattr(_synthetic_pairs, "damage_pattern", record)
    rng = np.random.default_rng(0)
    for _ in range(300):
        _synthetic_pairs._random_damage(rng, (100, 100))
    y, x = np.array(centers).T
    assert abs(np.corrcoef(y, x)[0, 1]) < 0.4
    for values in (y, x):
        assert 9 < values.min() < 30
        assert 70 < values.max() < 91
    assert 8 <= min(cells) < 20
    assert 40 < max(cells) <= 50


def test_a_patch_of_the_whole_frame_is_the_frame_turned():
    frame = np.random.default_rng(0).uniform(10, 90, (24, 24)).astype("float32")

    def undamaged(y, x):
        return np.zeros(np.broadcast_shapes(np.shape(y), np.shape(x)))

    low, high = np.percentile(frame, [1, 99.5])
    turned = [np.rot90((frame - low) / (high - low), k) for k in range(4)]
    for seed in range(8):
        rng = np.random.default_rng(seed)
        (first, second), decay = _synthetic_pairs._damage_patch(frame, 24, undamaged, 0.5, 0.3, rng)
        assert min(np.abs(first - whole).max() for whole in turned) < 1e-5
        np.testing.assert_array_equal(decay, 1)
        np.testing.assert_array_equal(second, first)


def test_a_patch_is_cut_anywhere_from_an_oblong_frame():
    def undamaged(y, x):
        return np.zeros(np.broadcast_shapes(np.shape(y), np.shape(x)))

    values = np.random.default_rng(1).permutation(30 * 44).reshape(30, 44).astype("float32")
    blocks = []
    for top, left in np.ndindex(7, 21):
        block = values[top : top + 24, left : left + 24]
        low, high = np.percentile(block, [1, 99.5])
        blocks += [np.rot90((block - low) / (high - low), k) for k in range(4)]
    places = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        (patch, _), _ = _synthetic_pairs._damage_patch(values, 24, undamaged, 0.5, 0.3, rng)
        distance = [np.abs(block - patch).max() for block in blocks]
        assert min(distance) < 1e-4
        places.add(np.unravel_index(np.argmin(distance), (7, 21, 4))[:2])
    tops, lefts = zip(*places, strict=True)
    assert (min(tops), max(tops)) == (0, 6)
    assert max(lefts) - min(lefts) > 15


def test_a_tenth_of_the_pairs_is_unaligned_by_default():
    rng = np.random.default_rng(0)
    theta = np.concatenate([synthetic_batch(rng, batch_size=40, side=16)[-1] for _ in range(3)])
    # Aligned pairs are rotated by at most a fifth of a degree, others by up to five degrees.
    turned = np.abs(np.rad2deg(theta[:, 0])) > 0.25
    assert 0.03 < turned.mean() < 0.2


class Kind(np.random.Generator):
    """Random numbers of a seed, but a fixed kind of damage."""

    def __init__(self, seed, kind):
        super().__init__(np.random.PCG64(seed))
        self.kind = kind

    def choice(self, options, **arguments):
        assert self.kind in options
        assert sum(arguments["p"]) == pytest.approx(1)
        return self.kind


def patterns_of(kind, side=100, n=40):
    y, x = np.indices((side, side))
    made = (_synthetic_pairs._random_damage(Kind(seed, kind), (side, side)) for seed in range(n))
    return np.stack([pattern(y, x) for pattern, _ in made])


def test_fronts_pass_through_the_frame_in_any_direction():
    fronts = patterns_of("front")
    half = (fronts > 0.5).mean(axis=(1, 2))
    assert half.min() > 0.02
    assert half.max() < 0.98
    slope = np.array(
        [(f[-1].mean() - f[0].mean(), f[:, -1].mean() - f[:, 0].mean()) for f in fronts]
    )
    quadrants = {(dy > 0, dx > 0) for dy, dx in slope}
    assert len(quadrants) == 4


def test_even_damage_is_the_same_everywhere():
    np.testing.assert_array_equal(patterns_of("even"), 1)


@pytest.mark.parametrize("kind", ["gaussian", "perlin", "random", "front"])
def test_a_pattern_is_that_of_its_seed(kind):
    first, again = patterns_of(kind, n=4), patterns_of(kind, n=4)
    np.testing.assert_array_equal(first, again)
    assert all((one != other).any() for one, other in pairwise(first))


def test_perlin_damage_is_as_coarse_in_shares_of_the_frame_at_any_side():
    def length(side):
        """Return the mean distance between crossings of the mean, as a share of the side."""
        signs = [np.sign(p - p.mean()) for p in patterns_of("perlin", side, 30)]
        return 1 / (np.mean([(np.diff(s, axis=1) != 0).mean() for s in signs]) * side)

    assert length(60) == pytest.approx(length(240), rel=0.3)


def test_the_noise_of_random_damage_has_the_cell_of_its_seed(monkeypatch):
    cells = {"perlin": [], "random": []}
    original = _synthetic_pairs.damage_pattern

    def recorded(kind, shape, **options):
        cells[kind].append(options["cell"])
        return original(kind, shape, **options)

    monkeypatch.setattr(_synthetic_pairs, "damage_pattern", recorded)
    for kind, values in cells.items():
        patterns_of(kind, n=30)
        assert len(values) == 30
        assert max(values) > 1.5 * min(values)


def test_rows_are_displaced_to_either_side(monkeypatch):
    shifts = []

    def recorded(scene, shape, *, row_shift, **options):
        shifts.append(row_shift)
        return np.zeros(shape, "float32"), None

    monkeypatch.setattr(_synthetic_pairs, "degrade", recorded)
    motion = Motion((400, 8))
    arguments = (lambda y, x: 0 * (y + x), 0.0, 0.0)
    _synthetic_pairs._damage_scene(None, motion, *arguments, 0.7, np.random.default_rng(0))
    _synthetic_pairs._damage_scene(None, motion, *arguments, 0.0, np.random.default_rng(0))
    assert shifts[2:] == [None, None]
    for rows in shifts[:2]:
        assert rows.shape == (400,)
        assert abs(rows.mean()) < 4 * 0.7 / 20
        assert rows.std() == pytest.approx(0.7, rel=0.15)
    assert abs(np.corrcoef(shifts[0], shifts[1])[0, 1]) < 0.2


def test_a_damaged_patch_fades_to_the_share_of_its_mean_that_is_kept():
    rng = np.random.default_rng(0)
    frame = ndimage.gaussian_filter(rng.random((64, 64)), 1.5).astype("float32")

    def even(y, x):
        return np.ones(np.broadcast_shapes(np.shape(y), np.shape(x)))

    for kept in (0.0, 0.5, 1.0):
        (first, second), decay = _synthetic_pairs._damage_patch(frame, 64, even, 0.9, kept, rng)
        np.testing.assert_allclose(decay, 0.1, rtol=1e-5)
        # Hardly any structure is kept, and of the mean the share `kept`.
        assert second.mean() == pytest.approx((0.1 + 0.9 * kept) * first.mean(), rel=0.02)
        assert second.std() < 0.4 * first.std()


@pytest.mark.parametrize("last", [False, True])
def test_patches_reach_up_to_the_border_of_a_frame(last):
    class Extreme:
        """Draws the smallest or the largest possible integer."""

        def integers(self, high):
            return high - 1 if last else 0

    def undamaged(y, x):
        return np.zeros(np.broadcast_shapes(np.shape(y), np.shape(x)))

    frame = np.random.default_rng(0).random((40, 50)).astype("float32")
    (first, _), _ = _synthetic_pairs._damage_patch(frame, 36, undamaged, 0.5, 0.0, Extreme())
    expected = np.rot90(frame[-36:, -36:], 3) if last else frame[:36, :36]
    # Each patch is scaled by its own range.
    np.testing.assert_allclose(
        (first - first.min()) / np.ptp(first),
        (expected - expected.min()) / np.ptp(expected),
        atol=1e-5,
    )


@pytest.fixture
def draws(monkeypatch):
    """Record what is drawn for each pair, without drawing its frames."""
    found = {"pairs": [], "records": [], "scenes": []}

    def scene(scene, motion, pattern, strength, kept, jitter, rng):
        found["pairs"].append((motion, kept, jitter))
        return np.zeros((2, *motion.shape), "f4"), np.ones(motion.shape, "f4")

    def recorded(frame, *, dose, background, random_state):
        found["records"].append((dose, background))
        return frame

    def made(shape, **options):
        found["scenes"].append(options)

    monkeypatch.setattr(_synthetic_pairs, "_damage_scene", scene)
    monkeypatch.setattr(_synthetic_pairs, "record", recorded)
    monkeypatch.setattr(_synthetic_pairs, "make_scene", made)
    monkeypatch.setattr(_synthetic_pairs, "background_of_pair", lambda pair: None)
    monkeypatch.setattr(_synthetic_pairs.AlignedPair, "above", lambda pair, background: None)
    monkeypatch.setattr(_synthetic_pairs, "decay_estimates", lambda pair, above: np.zeros(1))
    monkeypatch.setattr(_synthetic_pairs, "_random_damage", lambda rng, shape: (None, 0.5))
    return found


def test_pairs_differ_in_jitter_dose_background_and_what_is_kept(draws):
    n = 500
    batch(batch_size=n, side=8)
    # Shares are right to within five standard errors.
    by_chance = 2.5 / np.sqrt(n)
    _, kept, jitter = (
        np.array(column, dtype=object) for column in zip(*draws["pairs"], strict=True)
    )
    kept, jitter = kept.astype(float), jitter.astype(float)
    assert np.mean(kept == 0) == pytest.approx(1 / 3, abs=by_chance)
    assert np.mean(kept == 1) == pytest.approx(1 / 3, abs=by_chance)
    part = kept[(kept > 0) & (kept < 1)]
    assert part.mean() == pytest.approx(0.5, abs=0.1)
    assert np.mean(jitter == 0) == pytest.approx(0.3, abs=by_chance)
    assert np.mean(jitter > 1) == pytest.approx(0.2, abs=by_chance)
    assert 2.5 < jitter.max() <= 3
    dose, background = (
        np.array(column).reshape(n, 2) for column in zip(*draws["records"], strict=True)
    )
    assert (dose[:, 0] == dose[:, 1]).all()
    none = np.array([d is None for d in dose[:, 0]])
    assert none.mean() == pytest.approx(0.2, abs=by_chance)
    # Doses are as likely in each octave.
    octave = np.log2(dose[~none, 0].astype(float))
    assert np.log2([2, 2.3]).tolist()[0] <= octave.min() < np.log2(2.3)
    assert np.log2(260) < octave.max() <= np.log2(300)
    assert octave.mean() == pytest.approx(np.log2([2, 300]).mean(), abs=0.5)
    assert np.mean(background[:, 0] == background[:, 1]) == pytest.approx(0.6, abs=by_chance)
    assert 0 <= background.min() < 0.01
    assert 0.49 < background.max() <= 0.5
    assert background.mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("unaligned", [0.0, 1.0])
def test_scenes_are_large_enough_for_the_motion_and_one_in_five_is_perfect(draws, unaligned):
    n, side = 300, 40
    batch(batch_size=n, side=side, unaligned=unaligned)
    perfect = np.mean([scene["content"] == "perfect" for scene in draws["scenes"]])
    assert perfect == pytest.approx(0.2, abs=2.5 / np.sqrt(n))
    assert {scene["spacing"] for scene in draws["scenes"]} == {SPACING}
    (margin,) = {scene["margin"] for scene in draws["scenes"]}
    corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * (side - 1)
    motions = [motion for motion, *_ in draws["pairs"]]
    beyond = [np.abs(motion.inverse().apply(corners) - (side - 1) / 2).max() for motion in motions]
    reach = max(beyond) - (side - 1) / 2
    assert reach < margin * side
    drift = np.array([motion.drift for motion in motions])
    assert (np.abs(drift.mean(axis=0)) < 5 * np.abs(drift).max() / np.sqrt(3 * n)).all()
    assert abs(np.corrcoef(drift.T)[0, 1]) < 0.3
    assert np.mean([motion.rotation > 0 for motion in motions]) == pytest.approx(0.5, abs=0.15)


def test_some_perlin_damage_is_islands_in_an_undamaged_plain():
    patterns = patterns_of("perlin", side=48, n=80)
    plain = (patterns == 0).mean(axis=(1, 2)) > 0.2
    assert plain.mean() == pytest.approx(0.3, abs=0.2)
    assert patterns[plain].max() > 0.6
    # A front is half damaged in its middle, and is as wide on either side of it.
    assert (np.median(patterns[~plain], axis=(1, 2)) > 0.2).all()


def test_fronts_are_sharp_or_wide_and_symmetric():
    fronts = patterns_of("front", side=100, n=60)
    # The steepest slope of (1 + tanh(d / w)) / 2 is 1 / (2 w).
    slope = [np.hypot(*np.gradient(front)).max() for front in fronts]
    width = 1 / (2 * np.array(slope))
    assert 1.5 < width.min() < 6
    assert 20 < width.max() < 31
    for front, w in zip(fronts, width, strict=True):
        # Between a quarter and three quarters lie 2 artanh(1/2) widths.
        inside = (front > 0.25) & (front < 0.75)
        if w > 4 and front.min() < 0.2 and front.max() > 0.8:
            steepness = np.hypot(*np.gradient(front))[inside].mean()
            assert steepness == pytest.approx(0.5 / (2 * np.arctanh(0.5) * w), rel=0.1)
