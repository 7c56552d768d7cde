import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scipy.stats import kstest
from scipy.stats.qmc import PoissonDisk

from stemkit._random import sample_generator
from stemkit.datasets import make_nucleation
from stemkit.datasets._nucleation import render
from stemkit.datasets._nucleation_model import (
    NucleationModel,
    Vacuum,
    _draw_frames,
    draw_atoms,
)
from stemkit.datasets._perlin import hash_tables, perlin_noise
from stemkit.exceptions import InvalidParameterError
from stemkit.metrics import atom_iou, psnr, ssim

SHAPE = (48, 64)
LIKE = np.empty(0, dtype=np.float32)


def positions(table, frame=0):
    return table.loc[table.frame == frame, ["y", "x"]].to_numpy()


def test_frames_and_tables_fit_together():
    data = make_nucleation(3, SHAPE, order=0.4, random_state=0)
    for name in ("noisy", "clean", "target"):
        assert data[name].shape == (3, *SHAPE)
        assert data[name].dtype == np.float32
    assert len(data.parameters) == 3
    assert set(data.positions.frame) == {0, 1, 2}
    inside = data.positions[["y", "x"]].to_numpy()
    assert (inside >= -0.5).all()
    assert (inside < np.array(SHAPE) - 0.5).all()
    for index in range(3):
        assert not cKDTree(positions(data.positions, index)).query_pairs(4 - 1e-4)
    np.testing.assert_array_equal(data.noisy, np.floor(data.noisy).clip(0, 255))


def test_a_frame_depends_only_on_its_seed_and_index():
    many = make_nucleation(4, SHAPE, random_state=7)
    few = make_nucleation(2, SHAPE, random_state=7)
    for name in ("noisy", "clean", "target"):
        np.testing.assert_array_equal(many[name][:2], few[name])
    assert not (many.noisy[0] == many.noisy[1]).all()
    other = make_nucleation(2, SHAPE, random_state=8)
    assert np.abs(np.corrcoef(many.noisy[0].ravel(), other.noisy[0].ravel())[0, 1]) < 0.3
    state = np.random.get_state()[1].copy()
    make_nucleation(1, SHAPE)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_clean_frames_and_targets_are_sums_of_all_gaussians():
    model = NucleationModel(mask_threshold=0, order=0.3)
    atoms = draw_atoms(model, SHAPE, 1, LIKE, sample_generator(0, 0))
    assert not atoms.inside(SHAPE).all()
    y, x = np.indices(SHAPE)[..., None]
    distance = (y - atoms.y.astype(float)) ** 2 + (x - atoms.x.astype(float)) ** 2
    clean, target = render(atoms, SHAPE)
    expected = (atoms.amplitude * np.exp(-0.5 * distance / atoms.sigma.astype(float) ** 2)).sum(-1)
    np.testing.assert_allclose(clean, expected + atoms.drawn["background"][0], atol=0.1)
    np.testing.assert_allclose(target, (255 * np.exp(-0.5 * distance / 0.75**2)).sum(-1), atol=0.2)


def test_atoms_just_outside_contribute_their_tails():
    data = make_nucleation(20, (16, 16), mask_threshold=0, min_distance=5, random_state=0)
    # The rest, without the atoms of the table, lies at the border.
    rest = np.zeros((16, 16))
    for index, target in enumerate(data.target):
        y, x = np.indices((16, 16))[..., None]
        dot_y, dot_x = positions(data.positions, index).T
        dots = 255 * np.exp(-0.5 * ((y - dot_y) ** 2 + (x - dot_x) ** 2) / 0.75**2)
        rest = np.maximum(rest, np.abs(target - dots.sum(axis=-1)))
    assert rest[4:-4, 4:-4].max() < 0.5
    for border in (rest[0], rest[-1], rest[:, 0], rest[:, -1]):
        assert border.max() > 50


def test_dots_lie_at_the_positions_of_the_table_to_a_hundredth_of_a_pixel():
    data = make_nucleation(4, (128, 128), mask_threshold=0, min_distance=11, random_state=0)
    reach, offset = 5, np.arange(-5, 6)
    errors = []
    for index, target in enumerate(data.target):
        for place in positions(data.positions, index):
            row, column = np.rint(place).astype(int)
            if min(row, column) < reach or max(row, column) > 127 - reach:
                continue
            patch = target[row - reach : row + reach + 1, column - reach : column + reach + 1]
            patch = patch.astype(float)
            center = np.array([offset @ patch.sum(1), offset @ patch.sum(0)]) / patch.sum()
            errors.append(center + np.array([row, column]) - place)
            # The integral of a Gaussian is 2 pi sigma^2 times its peak.
            assert patch.sum() == pytest.approx(255 * 2 * np.pi * 0.75**2, rel=1e-3)
    assert len(errors) > 200
    assert np.abs(errors).max() < 0.01


@pytest.mark.parametrize("contrast", ["default", "high", "low"])
def test_frames_draw_evenly_from_their_ranges(contrast):
    ranges = {
        "default": {"background": (94, 104), "peak": (32, 46), "sigma": (1.3, 1.7)},
        "high": {"background": (70, 95), "peak": (50, 115), "sigma": (1.3, 1.8)},
        "low": {
            "background": (90, 113),
            "peak": (11, 33),
            "sigma": (1.45, 1.72),
            "min_distance": (4, 6),
        },
    }
    model = NucleationModel(contrast=contrast, order=(0.2, 0.9))
    drawn = _draw_frames(model, SHAPE, 3000, LIKE, np.random.default_rng(0))
    for name, (low, high) in {**ranges[contrast], "order": (0.2, 0.9)}.items():
        assert kstest(drawn[name], "uniform", args=(low, high - low)).pvalue > 1e-6
    assert kstest(drawn["grain_y"], "uniform", args=(-0.5, SHAPE[0])).pvalue > 1e-6
    assert kstest(drawn["grain_x"], "uniform", args=(-0.5, SHAPE[1])).pvalue > 1e-6
    assert kstest(drawn["orientation"], "uniform", args=(0, np.pi / 3)).pvalue > 1e-6
    if contrast != "low":
        assert (drawn["min_distance"] == 4).all()
    fixed = make_nucleation(2, (4, 4), contrast=contrast, peak=20, sigma=(2, 2)).parameters
    assert (fixed.peak == 20).all()
    assert (fixed.sigma == 2).all()


def test_atoms_differ_by_the_given_spreads():
    data = make_nucleation(8, (128, 128), mask_threshold=0, random_state=0)
    frame = data.parameters.loc[data.positions.frame].reset_index()
    brighter = (data.positions.amplitude / frame.peak - 1) / 0.15
    wider = (data.positions.sigma / frame.sigma - 1) / 0.10
    for normal in (brighter, wider):
        assert kstest(normal, "norm").pvalue > 1e-6
        # five standard errors
        assert normal.std() == pytest.approx(1, abs=5 / np.sqrt(2 * len(normal)))
    assert abs(np.corrcoef(brighter, wider)[0, 1]) < 0.1
    same = make_nucleation(1, SHAPE, peak_spread=0, sigma_spread=0, random_state=0)
    assert np.ptp(same.positions.amplitude) == np.ptp(same.positions.sigma) == 0
    wild = make_nucleation(1, SHAPE, peak_spread=5, sigma_spread=5, random_state=0)
    assert (wild.positions.amplitude >= 0).all()
    assert (wild.positions.sigma > 0).all()


def test_noise_is_that_of_the_camera():
    data = make_nucleation(3, (128, 128), whole_numbers=False, random_state=0)
    sigma = np.hypot(0.03583 * data.clean + 1.379, 0.6641)
    # Pixels on the diagonal share no column noise.
    one = ((data.noisy - data.clean) / sigma).diagonal(axis1=1, axis2=2).ravel()
    assert kstest(one, "norm").pvalue > 1e-6
    means = (data.noisy - data.clean).mean(axis=1)
    expected = 0.6641**2 + ((0.03583 * data.clean + 1.379) ** 2).mean() / 128
    # The variance of 384 normals is good to 7 %.
    assert means.var() == pytest.approx(expected, rel=0.35)
    quiet = make_nucleation(
        1, SHAPE, gain=0, offset=0, column_sigma=0, whole_numbers=False, random_state=0
    )
    np.testing.assert_array_equal(quiet.noisy, quiet.clean)


def test_fractions_are_cut_off_as_a_file_of_8_bits_does():
    raw, whole = (
        make_nucleation(2, SHAPE, background=(5, 250), whole_numbers=which, random_state=1).noisy
        for which in (False, True)
    )
    np.testing.assert_array_equal(whole, np.floor(raw.clip(0, 255)))


def test_a_gaussian_filter_does_as_badly_as_in_the_paper():
    data = make_nucleation(24, random_state=0)
    filtered = gaussian_filter(data.noisy, (0, 1.5, 1.5))
    # Frames differ by 0.27 dB, 0.003 and 0.055: five standard errors of 24 of them.
    assert psnr(data.target, filtered) == pytest.approx(8.18, abs=0.28)
    assert ssim(data.target, filtered) == pytest.approx(0.0225, abs=0.0035)
    assert atom_iou(data.target, filtered) == pytest.approx(0.081, abs=0.056)


@pytest.mark.parametrize(
    "options, larger", [({"mask_octaves": 3}, 1.7), ({"mask_persistence": 0.7}, 3.0)]
)
def test_the_mask_is_perlin_noise_of_its_parameters(options, larger):
    rng = np.random.default_rng(0)
    tables, origin = hash_tables(1, LIKE, rng), np.zeros(1, dtype=np.float32)
    y, x = rng.uniform(0, 300, (2, 500)).astype(np.float32)
    frame = np.zeros(500, dtype=int)
    scale = {"mask_scale": 60.0, "mask_lacunarity": 1.9, **options}
    vacuum = Vacuum(NucleationModel(**scale), tables, origin, origin)
    names = {name.removeprefix("mask_"): value for name, value in scale.items()}
    del names["scale"]
    expected = perlin_noise(y / 60, x / 60, tables, **names) >= 0
    np.testing.assert_array_equal(vacuum.is_material(frame, y, x), expected)
    # The same mask, enlarged by this factor.
    wide = Vacuum(
        NucleationModel(**scale | {"mask_scale": 60 * larger}), tables, origin, origin
    ).is_material(frame, y * np.float32(larger), x * np.float32(larger))
    assert (wide == expected).mean() > 0.98


def test_the_mask_can_be_that_of_the_package_noise():
    pnoise2 = pytest.importorskip("noise", reason="needs the package noise").pnoise2
    own, theirs = (
        draw_atoms(NucleationModel(mask_backend=name), SHAPE, 1, LIKE, np.random.default_rng(3))
        for name in ("stemkit", "noise")
    )
    assert theirs.inside(SHAPE).any()
    place = zip(
        (theirs.y / 100 + theirs.vacuum.origin_y).tolist(),
        (theirs.x / 100 + theirs.vacuum.origin_x).tolist(),
        strict=True,
    )
    assert min(pnoise2(*point, octaves=6) for point in place) > -1e-5
    # Everything except the mask is drawn as before.
    for name, values in own.drawn.items():
        np.testing.assert_array_equal(theirs.drawn[name], values)
    with pytest.raises(ValueError, match="mask_backend must be one of"):
        NucleationModel(mask_backend="own")


def test_positions_can_be_scipys():
    model = NucleationModel(sampler="bridson", mask_threshold=0)
    atoms = draw_atoms(model, SHAPE, 1, LIKE, np.random.default_rng(3))
    edge = model.margin + 0.5
    # The random numbers are the same up to those of SciPy.
    rng = np.random.default_rng(3)
    _draw_frames(model, SHAPE, 1, LIKE, rng)
    theirs = PoissonDisk(
        2,
        radius=4,
        l_bounds=[0, 0],  # with other bounds, SciPy before 1.17.1 gives points that are too close
        u_bounds=np.array(SHAPE) + 2 * edge - 1,
        rng=np.random.default_rng(rng.integers(2**62, size=1)[0]),
    ).fill_space()
    np.testing.assert_allclose(np.stack([atoms.y, atoms.x], axis=1), theirs - edge, atol=1e-4)


def test_scipys_positions_are_not_too_close_to_the_grain():
    one, two, many = (
        make_nucleation(n, SHAPE, sampler="bridson", order=0.4, mask_threshold=0, random_state=seed)
        for n, seed in ((1, 0), (1, 1), (2, 0))
    )
    assert 0.3 < one.positions.ordered.mean() < 0.6
    for data in (one, two):
        assert not cKDTree(positions(data.positions)).query_pairs(4 - 1e-4)
    np.testing.assert_array_equal(one.noisy[0], many.noisy[0])
    assert not (one.noisy == two.noisy).all()


def test_the_mask_makes_vacuum():
    full = make_nucleation(4, (96, 96), mask_threshold=0, random_state=0)
    half = make_nucleation(40, (96, 96), mask_threshold=0.5, random_state=0)
    none = make_nucleation(2, (96, 96), mask_threshold=1, random_state=0)
    assert len(full.positions) / 4 == pytest.approx(0.598 / 16 * 96**2, rel=0.03)
    # Perlin noise is symmetric about 0, but a frame is not much larger than its grid spacing.
    assert len(half.positions) / 40 == pytest.approx(len(full.positions) / 8, rel=0.35)
    assert len(none.positions) == 0
    assert np.ptp(none.clean[0]) == 0
    assert (none.target == 0).all()
    # Vacuum and material form connected regions.
    counts = np.stack(
        [
            np.histogram2d(*positions(half.positions, index).T, bins=4, range=[(0, 96)] * 2)[0]
            for index in range(40)
        ]
    )
    assert (counts == 0).mean() > 0.1
    assert (counts > 15).mean() > 0.1


@pytest.mark.parametrize("lattice, cell", [("hexagonal", np.sqrt(0.75)), ("square", 1.0)])
def test_a_grain_is_a_lattice_of_its_orientation_and_spacing(lattice, cell):
    data = make_nucleation(
        6, (128, 128), order=(0.3, 0.6), lattice=lattice, mask_threshold=0, random_state=0
    )
    for index, grain in data.parameters.iterrows():
        atoms = data.positions[(data.positions.frame == index) & data.positions.ordered]
        assert grain.orientation < (np.pi / 3 if lattice == "hexagonal" else np.pi / 2)
        assert grain.spacing**2 * cell * 0.598 / 16 == pytest.approx(1, rel=1e-3)
        # In coordinates along the lattice vectors, sites are at whole numbers.
        right, up = atoms.x - grain.grain_x, grain.grain_y - atoms.y
        cos, sin = np.cos(grain.orientation), np.sin(grain.orientation)
        second = (cos * up - sin * right) / grain.spacing / cell
        first = (cos * right + sin * up) / grain.spacing
        first -= second / 2 if lattice == "hexagonal" else 0
        for axis in (first, second):
            assert (axis - axis.round()).abs().max() < 0.15
            assert abs(np.exp(2j * np.pi * axis).mean()) > 0.9
        assert (np.hypot(right, up) < grain.grain_radius + 1).all()
        # The number of atoms corresponds to the fraction of the frame in the disk.
        assert len(atoms) == pytest.approx(grain.order * 128**2 * 0.598 / 16, rel=0.1)


def test_order_0_and_1_are_no_and_all_atoms():
    assert not make_nucleation(2, SHAPE, random_state=0).positions.ordered.any()
    every = make_nucleation(2, SHAPE, order=1, random_state=0)
    assert every.positions.ordered.all()
    # The fraction of order changes neither the vacuum nor other parameters of the frame.
    plain = make_nucleation(2, SHAPE, random_state=0)
    np.testing.assert_array_equal(every.parameters.peak, plain.parameters.peak)


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"n_samples": 0}, "^n_samples must be an int of at least 1; got 0"),
        ({"n_samples": 2.5}, "^n_samples must be an int"),
        ({"n_samples": "3"}, "^n_samples must be an int"),
        ({"shape": (0, 4)}, "^shape must be"),
        ({"shape": 8}, "^shape must be"),
        ({"shape": (8.7, 8)}, "^shape must be"),
        ({"shape": (np.nan, 8)}, "^shape must be"),
        ({"contrast": "medium"}, "^contrast must be one of"),
        ({"lattice": "cubic"}, "^lattice must be one of"),
        ({"sampler": "grid"}, "^sampler must be one of"),
        ({"background": (90, 80)}, "^background must be a number or"),
        ({"peak": -1}, "^peak must be a number or"),
        ({"sigma": "wide"}, "^sigma must be a number or"),
        ({"sigma": np.nan}, "^sigma must be a number or"),
        ({"min_distance": 1}, r"^min_distance must be a number or .* of px in \[1.5, "),
        ({"spacing": 4}, "^spacing must be .* from 4.8 px; got 4"),
        ({"spacing": "large"}, "^spacing must be a number or"),
        ({"order": 1.5}, r"^order must be a number or .* in \[0, 1\]"),
        ({"peak_spread": -0.1}, "^peak_spread must be"),
        ({"peak_spread": None}, "^peak_spread must be .*; got None"),
        ({"gain": "high"}, "^gain must be .*; got 'high'"),
        ({"mask_scale": 0}, "^mask_scale must be"),
        ({"mask_scale": "coarse"}, "^mask_scale must be"),
        ({"mask_octaves": 0}, r"^mask_octaves must be an int in \[1, 16\]"),
        ({"mask_octaves": 2.5}, "^mask_octaves must be an int"),
        ({"mask_lacunarity": 10, "mask_octaves": 16}, "^mask_lacunarity of 10 makes the last"),
        ({"mask_threshold": 2}, "^mask_threshold must be"),
        ({"mask_threshold": "low"}, "^mask_threshold must be"),
        ({"mask_backend": "own"}, "^mask_backend must be one of"),
        ({"whole_numbers": 1}, "^whole_numbers must be True or False"),
        ({"random_state": -1}, "^random_state must be"),
    ],
)
def test_invalid_arguments_are_named(arguments, what):
    with pytest.raises(InvalidParameterError, match=what):
        make_nucleation(**{"n_samples": 1, "shape": (8, 8), **arguments})


def test_the_smallest_frames_work():
    for shape in ((1, 1), (1, 50), (50, 1)):
        assert make_nucleation(1, shape, order=0.5, random_state=0).noisy.shape == (1, *shape)


def test_torch_is_not_needed():
    script = (
        "import sys; from stemkit.datasets import make_nucleation;"
        "make_nucleation(1, (8, 8)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
