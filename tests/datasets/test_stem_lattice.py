import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

from stemkit.datasets import _stem_lattice, make_stem_lattice
from stemkit.exceptions import InvalidParameterError

SHAPE = (96, 80)
STYLES = ["temimagenet", "sfin"]
# Without scan noise and background and at a high dose, only rounding errors are left.
CLEAR = {"dose": (1e9, 1e9), "row_jitter": (0, 0), "background": (0, 0)}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("mode", ["haadf", "bf"])
def test_frames_are_whole_grey_levels(style, mode):
    data = make_stem_lattice(6, SHAPE, style=style, mode=mode, random_state=0)
    for name in ("noisy", "clean", "circular_mask", "gaussian_mask"):
        assert data[name].shape == (6, *SHAPE)
        assert data[name].dtype == np.float32
        assert data[name].min() >= 0
        assert data[name].max() <= 255
    np.testing.assert_array_equal(data.noisy, np.rint(data.noisy))
    assert data.target is data.clean
    assert (data.noisy == 255).mean() < 0.02
    assert list(data.positions) == ["frame", "y", "x", "amplitude", "sigma"]
    assert data.parameters.index.tolist() == list(range(6))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("mode", ["haadf", "bf"])
def test_clean_frames_are_the_sum_of_the_listed_columns(style, mode):
    data = make_stem_lattice(8, (160, 150), style=style, mode=mode, random_state=5)
    for index, columns in data.positions.groupby("frame"):
        assert (np.abs(columns[["y", "x"]] - [79.5, 74.5]) <= [80, 75]).all(axis=None)
        y, x = np.indices((160, 150))
        expected = np.full((160, 150), data.parameters.scale[index] if mode == "bf" else 0.0)
        for column in columns.itertuples():
            squared = (y - column.y) ** 2 + (x - column.x) ** 2
            expected += column.amplitude * np.exp(-squared / (2 * column.sigma**2))
        # Columns outside contribute near the border.
        rim = int(np.ceil(4 * columns.sigma.iloc[0]))
        inside = (slice(rim, 160 - rim), slice(rim, 150 - rim))
        np.testing.assert_allclose(data.clean[index][inside], expected[inside], atol=0.4)


@pytest.mark.parametrize("mode", ["haadf", "bf"])
def test_without_noise_the_noisy_frames_are_the_clean_ones(mode):
    data = make_stem_lattice(6, SHAPE, mode=mode, **CLEAR, random_state=0)
    np.testing.assert_allclose(data.noisy, data.clean, atol=0.55)
    # The grey levels end at the brightest pixel.
    np.testing.assert_allclose(data.parameters.scale, 255, rtol=1e-3)


def test_noise_is_shot_noise():
    data = make_stem_lattice(
        8, (128, 128), dose=(60, 90), row_jitter=(0, 0), background=(0, 0), random_state=3
    )
    scale = data.parameters.scale.to_numpy()[:, None, None]
    dose = data.parameters.dose.to_numpy()[:, None, None]
    variance = data.clean * scale / dose + 1 / 12
    bright = data.clean > 20
    residual = (data.noisy - data.clean)[bright] / np.sqrt(variance[bright])
    n = bright.sum()
    assert n > 20_000
    # The square of a Poisson number's deviation spreads by sqrt(2 + 1 / mean).
    assert abs(np.mean(residual)) < 5 / np.sqrt(n)
    assert abs(np.mean(residual**2) - 1) < 5 * np.sqrt(2.5 / n)


def test_the_background_has_its_mean_and_contrast():
    data = make_stem_lattice(
        40, (96, 96), dose=(1e7, 1e7), row_jitter=(0, 0), background=(0.5, 0.5), random_state=1
    )
    background = (data.noisy - data.clean) / data.parameters.scale.to_numpy()[:, None, None]
    # There are about a hundred independent patches.
    assert background.mean() == pytest.approx(0.5, abs=6 * 0.15 / np.sqrt(100))
    assert background.std() == pytest.approx(0.15, rel=0.4)
    roughness = np.abs(np.diff(background, axis=1)).mean() / background.std()
    assert roughness < 0.1  # it varies slowly; rounding alone gives a few per cent


def test_rows_are_displaced():
    still, jittered = (
        make_stem_lattice(4, SHAPE, **CLEAR | {"row_jitter": (j, j)}, random_state=2)
        for j in (0, 1)
    )
    np.testing.assert_array_equal(still.clean, jittered.clean)
    assert np.abs(jittered.noisy - jittered.clean).mean() > 1
    # A displaced row keeps its sum, except at its ends.
    sums = [data.noisy.sum(axis=2) for data in (still, jittered)]
    assert np.median(np.abs(sums[0] - sums[1])) < 0.1 * np.median(sums[0])


def test_crystals_have_the_distances_of_the_literature():
    data = make_stem_lattice(60, (32, 32), random_state=0)
    nm = data.parameters.spacing * data.parameters.pixel_size
    expected = {
        "Al [001]": 0.40496 / 2,
        "Si [110]": 0.543102 / 4,
        "SrTiO3 [001]": 0.3905 / 2,
        "GaN [001]": 0.3189 / np.sqrt(3),
        "graphene [001]": 0.246 / np.sqrt(3),
    }
    for material, distance in expected.items():
        found = nm[data.parameters.material == material]
        assert len(found) > 1
        np.testing.assert_allclose(found, distance, rtol=1e-4)


def test_crystals_fill_the_frame(monkeypatch):
    monkeypatch.setattr(_stem_lattice, "_CRYSTALS", (("Al", (0, 0, 1)),))
    pixels = np.stack(np.indices((60, 40)), axis=-1).reshape(-1, 2)
    distance = 0.40496 / 2 / 0.02
    for seed in range(20):
        rng = np.random.default_rng(seed)
        columns = _stem_lattice._crystal((60, 40), 0.02, distance, rng)
        # No pixel is further from a square lattice than half a diagonal.
        gap, _ = cKDTree(columns.points).query(pixels)
        assert gap.max() <= distance / np.sqrt(2) + 1e-6


def test_columns_are_as_bright_as_z_to_the_power_of_1_7(monkeypatch):
    monkeypatch.setattr(_stem_lattice, "_CRYSTALS", (("SrTiO3", (0, 0, 1)),))
    columns = _stem_lattice._crystal((60, 40), 0.02, 5.0, np.random.default_rng(0))
    expected = np.array([8**1.7, 22**1.7 + 8**1.7, 38**1.7]) / 38**1.7
    np.testing.assert_allclose(np.unique(columns.weight.round(6)), expected, atol=1e-6)


def test_crystals_of_sfin_have_vacancies_and_displaced_columns(monkeypatch):
    monkeypatch.setattr(_stem_lattice, "_CRYSTALS", (("Al", (0, 0, 1)),))
    missing, displacement = [], []
    for seed in range(150):
        rng, same = np.random.default_rng(seed), np.random.default_rng(seed)
        columns = _stem_lattice._arrange("sfin", (150, 150), 0.02, 5.0, rng)
        same.random()  # this number decides whether it is a crystal
        perfect = _stem_lattice._crystal((150, 150), 0.02, 5.0, same)
        if columns.material == "random":
            continue
        missing.append(1 - len(columns.points) / len(perfect.points))
        _, site = cKDTree(perfect.points).query(columns.points)
        displacement.append((columns.points - perfect.points[site]).std() / perfect.spacing)
    # Each crystal draws its own fraction, up to a tenth, and displacement, up to a twentieth.
    assert len(missing) > 40
    for values, most in ((missing, 0.1), (displacement, 0.05)):
        assert np.mean(values) == pytest.approx(most / 2, abs=5 * most / np.sqrt(12 * len(values)))
        assert max(values) < 1.4 * most


def test_columns_are_as_wide_as_the_probe():
    data = make_stem_lattice(60, (32, 32), random_state=0)
    pixel_nm = data.parameters.pixel_size[data.positions.frame].to_numpy()
    fwhm = data.positions.sigma * np.sqrt(8 * np.log(2)) * pixel_nm
    assert 0.08 <= fwhm.min() < 0.09
    assert 0.12 < fwhm.max() <= 0.13


def test_columns_of_crystals_have_the_listed_spacing():
    data = make_stem_lattice(12, (128, 128), random_state=4)
    for index, columns in data.positions.groupby("frame"):
        distance, _ = cKDTree(columns[["y", "x"]]).query(columns[["y", "x"]], k=2)
        if len(columns) > 20:
            assert distance[:, 1].min() == pytest.approx(data.parameters.spacing[index], rel=1e-6)


def test_sfin_is_half_random_atoms_that_keep_their_distance():
    data = make_stem_lattice(200, (8, 8), style="sfin", random_state=0)
    n_random = (data.parameters.material == "random").sum()
    assert abs(n_random - 100) < 5 * np.sqrt(50)
    data = make_stem_lattice(40, (96, 96), style="sfin", random_state=1)
    for index, columns in data.positions.groupby("frame"):
        if data.parameters.material[index] != "random" or len(columns) < 2:
            continue
        distance, _ = cKDTree(columns[["y", "x"]]).query(columns[["y", "x"]], k=2)
        assert distance[:, 1].min() >= data.parameters.spacing[index] * (1 - 1e-5)


def test_masks_are_functions_of_the_distance_to_the_next_column():
    data = make_stem_lattice(6, SHAPE, random_state=7)
    for index, columns in data.positions.groupby("frame"):
        radius = max(data.parameters.spacing[index] / 4, 1)
        pixels = np.stack(np.indices(SHAPE), axis=-1)
        distance = np.min(
            [np.hypot(*(pixels - [c.y, c.x]).transpose(2, 0, 1)) for c in columns.itertuples()],
            axis=0,
        )
        rim = int(np.ceil(3 * radius))
        inside = (slice(rim, SHAPE[0] - rim), slice(rim, SHAPE[1] - rim))
        np.testing.assert_array_equal(
            data.circular_mask[index][inside], 255.0 * (distance <= radius)[inside]
        )
        expected = 255 * np.exp(-(distance**2) / (2 * (radius / 2) ** 2))
        np.testing.assert_allclose(
            data.gaussian_mask[index][inside], expected[inside], rtol=1e-5, atol=1e-4
        )
        _, n_disks = ndimage.label(data.circular_mask[index])
        assert n_disks >= len(columns) or radius < 1.5  # disks of few pixels may touch


def test_bright_field_is_dark_where_columns_are():
    data = make_stem_lattice(6, SHAPE, mode="bf", random_state=0)
    assert (data.positions.amplitude < 0).all()
    for clean, disks, scale in zip(
        data.clean, data.circular_mask, data.parameters.scale, strict=True
    ):
        assert clean.max() <= scale * (1 + 1e-6)
        if disks.any():
            assert clean[disks > 0].mean() < clean[disks == 0].mean()


@pytest.mark.parametrize("style", STYLES)
def test_a_sample_depends_only_on_its_seed_and_index(style):
    few, many = (make_stem_lattice(n, (24, 32), style=style, random_state=9) for n in (2, 5))
    np.testing.assert_array_equal(few.noisy, many.noisy[:2])
    pd.testing.assert_frame_equal(few.parameters, many.parameters[:2])
    pd.testing.assert_frame_equal(few.positions, many.positions.query("frame < 2"))
    other = make_stem_lattice(2, (24, 32), style=style, random_state=8)
    assert (other.noisy != few.noisy).any()


def test_global_state_is_not_changed():
    before = np.random.get_state()[1].copy()
    make_stem_lattice(2, (24, 24), style="sfin")
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"n_samples": 0}, "^n_samples must be an int of at least 1; got 0"),
        ({"shape": (8,)}, "^shape must be"),
        ({"shape": (0, 8)}, "^shape must be"),
        ({"style": "nuc"}, "^style must be one of"),
        ({"mode": "df"}, "^mode must be one of"),
        ({"dose": (0, 10)}, r"^dose must be a number or \(low, high\) .* in \[1e-06, .*; got"),
        ({"dose": 0}, r"^dose must be a number or \(low, high\)"),
        ({"dose": (1, 2, 3)}, r"^dose must be a number or \(low, high\)"),
        ({"row_jitter": (1, 0.5)}, "^row_jitter must be .* low <= high"),
        ({"background": (-0.1, 1)}, r"^background must be .* each a finite number in \[0, "),
        ({"background": (0, np.nan)}, "^background must be .* finite"),
        ({"random_state": "0"}, "^random_state must be"),
    ],
)
def test_invalid_arguments_are_named(arguments, what):
    with pytest.raises(InvalidParameterError, match=what):
        make_stem_lattice(**{"n_samples": 1, "shape": (16, 16), "random_state": 0} | arguments)


def test_a_number_is_a_range_of_itself():
    one, two = (
        make_stem_lattice(2, (24, 24), dose=dose, random_state=0) for dose in (30, (30, 30))
    )
    np.testing.assert_array_equal(one.noisy, two.noisy)
    np.testing.assert_allclose(one.parameters.dose, 30)
