import numpy as np
import pytest
from scipy import ndimage

from stemkit._scene import Scene, render_columns, render_film
from stemkit.datasets import make_scene
from stemkit.drift import Motion
from stemkit.exceptions import InvalidParameterError

SHAPE = (96, 112)
SEEDS = range(40)


def draw(scene, shape=SHAPE, **where):
    return render_columns(scene, shape, **where) + render_film(scene, shape)


@pytest.mark.parametrize("seed", range(6))
def test_perfect_lattices_are_periodic(seed):
    scene = make_scene(SHAPE, content="perfect", random_state=seed)
    still = render_columns(scene, SHAPE)
    assert still.std() > 0.05
    for steps in ((1, 0), (0, 1), (-1, 1)):
        drift = np.array(steps) @ scene.basis
        moved = render_columns(scene, SHAPE, motion=Motion(SHAPE, drift))
        np.testing.assert_allclose(moved, still, atol=2e-3)
    half = render_columns(scene, SHAPE, motion=Motion(SHAPE, scene.basis[0] / 2))
    assert np.abs(half - still).max() > 0.1


@pytest.mark.parametrize("content", ["perfect", "aperiodic"])
def test_scenes_extend_beyond_the_frame(content):
    scene = make_scene(SHAPE, content=content, margin=0.5, random_state=8)
    for values, side in ((scene.y, 96), (scene.x, 112)):
        assert -56 - 24 <= values.min() < -30
        assert side + 30 < values.max() <= side + 56 + 24
    wider = make_scene(SHAPE, content=content, margin=1.0, random_state=8)
    assert wider.y.min() < -80


def test_spacing_bounds_the_lattice():
    for seed in range(60):
        basis = make_scene(SHAPE, content="perfect", spacing=(9, 13), random_state=seed).basis
        lengths = np.linalg.norm(basis, axis=1)
        assert (lengths > 9 - 1e-9).all()
        assert (lengths < 13 + 1e-9).all()
        angle = np.degrees(np.arccos(basis[0] @ basis[1] / lengths.prod()))
        assert 59 < angle < 116


@pytest.mark.parametrize("content", ["perfect", "aperiodic"])
def test_brightest_columns_have_a_peak_of_about_one(content):
    brightest = []
    for seed in SEEDS:
        scene = make_scene(SHAPE, content=content, random_state=seed)
        assert (scene.amplitude > 0).all()
        assert (scene.sigma >= 1).all()
        brightest.append(np.percentile(scene.amplitude, 99))
    assert 0.8 < np.median(brightest) < 1.2
    assert max(brightest) < 1.6


def test_film_is_never_negative():
    films = [
        render_film(make_scene(SHAPE, random_state=seed), SHAPE, motion=Motion(SHAPE, (20, -30)))
        for seed in SEEDS
    ]
    assert min(frame.min() for frame in films) > -1e-6
    assert max(frame.max() for frame in films) > 0.1
    # The film varies slowly, so neighbouring pixels hardly differ.
    assert max(np.abs(np.diff(frame, axis=0)).max() for frame in films) < 0.1


def test_aperiodic_scenes_are_of_many_kinds():
    frames = np.stack([render_columns(make_scene(SHAPE, random_state=s), SHAPE) for s in SEEDS])
    # In vacuum, windows wider than the longest lattice vector are almost dark.
    empty = np.array([ndimage.maximum_filter(f, 31)[15:-15, 15:-15].min() < 0.1 for f in frames])
    assert 0.15 < empty.mean() < 0.9
    assert len({len(make_scene(SHAPE, random_state=s).y) for s in SEEDS}) > 35
    correlation = np.corrcoef(frames.reshape(len(frames), -1))[np.triu_indices(len(frames), 1)]
    assert np.percentile(np.abs(correlation), 90) < 0.5


def test_aperiodic_scenes_distinguish_drifts_by_a_lattice_vector():
    def least_change(content, seed):
        """Return the smallest change of the frame under drifts of one or two lattice vectors."""
        scene = make_scene((96, 96), content=content, spacing=(10, 10), random_state=seed)
        frame = render_columns(scene, (96, 96))
        spectrum = np.abs(np.fft.fft2(frame - frame.mean(), s=(192, 192))) ** 2
        ones = np.abs(np.fft.fft2(np.ones((96, 96)), s=(192, 192))) ** 2
        correlation = np.fft.ifft2(spectrum).real / np.maximum(np.fft.ifft2(ones).real, 1)
        correlation = np.fft.fftshift(correlation / correlation[0, 0])
        dy, dx = np.indices(correlation.shape) - 96
        far = (np.hypot(dy, dx) > 7) & (np.abs(dy) < 32) & (np.abs(dx) < 32)
        return 1 - correlation[far].max()

    perfect = [least_change("perfect", seed) for seed in range(8)]
    aperiodic = [least_change("aperiodic", seed) for seed in range(24)]
    assert np.median(aperiodic) > np.median(perfect) + 0.1


def columns(scene):
    return np.stack([scene.y, scene.x, scene.amplitude, scene.sigma])


@pytest.mark.parametrize("content", ["perfect", "aperiodic"])
def test_scenes_are_reproducible_and_do_not_change_global_state(content):
    before = np.random.get_state()[1].copy()
    one, same, other = (make_scene(SHAPE, content=content, random_state=s) for s in (0, 0, 1))
    assert isinstance(one, Scene)
    np.testing.assert_array_equal(columns(one), columns(same))
    np.testing.assert_array_equal(one.waves, same.waves)
    assert columns(one).shape != columns(other).shape
    make_scene(SHAPE, content=content)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_only_perfect_lattices_have_a_basis():
    assert make_scene(SHAPE, random_state=0).basis is None
    assert make_scene(SHAPE, content="perfect", random_state=0).basis.shape == (2, 2)


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"content": "glass"}, r"^content must be one of .*got 'glass'"),
        *(({"shape": shape}, r"^shape must be \(H, W\)") for shape in ((8,), (0, 0), 8, (8, 8.5))),
        *(
            ({"spacing": spacing}, r"^spacing must")
            for spacing in ((12, 8), (0, 8), (-4, 8), (np.nan, 8), 8, (8,))
        ),
        ({"margin": -0.1}, "^margin must be"),
        ({"margin": "wide"}, "^margin must be"),
        ({"random_state": -1}, "^random_state must be"),
    ],
)
def test_invalid_arguments_are_named(arguments, what):
    with pytest.raises(InvalidParameterError, match=what):
        make_scene(**{"shape": SHAPE, **arguments})


def test_shapes_may_be_lists_and_arrays():
    expected = make_scene((60, 200), random_state=0)
    for shape in ([60, 200], np.array([60, 200], dtype=np.uint8)):
        np.testing.assert_array_equal(columns(make_scene(shape, random_state=0)), columns(expected))
