"""Tests of the report of what is wrong with frames: each artefact is planted and found."""

import base64
import re

import imageio.v3 as iio
import numpy as np
import pytest
from scipy import ndimage

from stemkit.datasets import make_crystal_images, make_damage_sequence, make_nucleation
from stemkit.io import FrameStack, read_stack
from stemkit.preprocessing import inspect_frames

SCALES = pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])


def make_frames(n=5, dose=60, offset=30):
    """Return counts of atoms on a film that moves from frame to frame."""
    rng = np.random.default_rng(0)
    field = np.zeros((220, 220))
    field[tuple(rng.integers(0, 220, (2, 500)))] = 2 * np.pi * 4
    field = ndimage.gaussian_filter(field, 2.0) + 0.5
    parts = [field[3 * i : 3 * i + 160, 2 * i : 2 * i + 192] for i in range(n)]
    return rng.poisson(dose * np.stack(parts)) + float(offset)


def names(stack):
    return [finding.name for finding in inspect_frames(stack).findings]


def found(stack):
    return {finding.name: finding.frames for finding in inspect_frames(stack).findings}


def scaled(frames, scale):
    return (scale * frames).astype("float32")


@SCALES
def test_clean_frames_have_no_findings(scale):
    assert names(scaled(make_frames(), scale)) == []
    assert names(make_frames().astype("uint16")) == []


@pytest.mark.parametrize("kind", ["gaussian", "perlin", "random"])
@pytest.mark.parametrize("dose", [5, 50, 500])
def test_damage_has_no_findings(kind, dose):
    frames = make_damage_sequence(kind, 6, dose=dose, background=0.1, random_state=0).frames
    assert names(frames) == []


def test_simulated_specimens_have_no_findings():
    assert names(make_nucleation(4, random_state=0).noisy) == []
    for material in ("SrTiO3", "graphene"):
        clean = make_crystal_images(material, 3, random_state=0).frames
        counts = np.random.default_rng(0).poisson(50 * clean / clean.max())
        assert names(counts) == []


@SCALES
def test_bad_pixels_and_lines(scale):
    frames = make_frames()
    frames[:, 40, 50] = frames[:, 90, 120] = 20 * frames.max()
    frames[2, 70, 80] = 9000
    frames[3, 100] = 0
    frames[4, :, 33] = 9000
    report = inspect_frames(scaled(frames, scale))
    assert [(f.name, f.frames, f.value) for f in report.findings] == [
        ("fixed pixels", (0, 1, 2, 3, 4), 2),
        ("spikes", (2,), 1),
        ("bad rows", (3,), 1),
        ("bad columns", (4,), 1),
    ]


def test_marks_and_missing_pixels():
    frames = make_frames().astype("uint16")
    frames[1, 20, 30] = 65535
    mask = np.zeros(frames.shape, bool)
    mask[2, 5, 6:9] = True
    expected = {"missing pixels": (2,), "detector marks": (1,)}
    assert found(FrameStack(frames, mask=mask)) == expected
    assert found(np.ma.MaskedArray(frames, mask)) == expected
    frames = make_frames()
    frames[mask] = np.nan
    assert found(frames) == {"missing pixels": (2,)}


@SCALES
def test_saturation_and_clipping(scale):
    frames = make_frames(dose=200)
    frames[1] = frames[1].clip(None, np.quantile(frames[1], 0.98))
    frames[3] = frames[3].clip(np.quantile(frames[3], 0.1), None)
    report = inspect_frames(scaled(frames, scale))
    saturation, clipped = report.findings
    assert (saturation.name, saturation.frames) == ("saturation", (1,))
    assert saturation.value == pytest.approx(0.02, abs=0.005)
    assert (clipped.name, clipped.frames) == ("clipped background", (3,))
    assert clipped.value == pytest.approx(0.1, abs=0.02)


@SCALES
@pytest.mark.parametrize("side", range(4))
def test_unrecorded_edges(scale, side):
    frames = make_frames()
    np.rot90(frames[2], side)[:15] = 0
    report = inspect_frames(scaled(frames, scale))
    assert [(f.name, f.frames, f.value) for f in report.findings] == [
        ("unrecorded edges", (2,), 15)
    ]


def test_blank_frames_and_duplicates():
    frames = make_frames()
    frames[1], frames[4] = 7, frames[2]
    assert found(frames) == {"blank frames": (1,), "duplicates": (4,)}


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_data_bars_and_scale_bars(kind):
    frames = np.clip(make_frames(dose=40), 0, 250)
    bar = np.zeros((14, 192))
    bar[4:10, 10:60:3] = 255
    frames[:, -14:] = bar
    frames[3, 130:134, 20:70] = 255
    report = inspect_frames(frames.astype(kind))
    assert [(f.name, f.frames, f.value) for f in report.findings] == [
        ("data bar", (0, 1, 2, 3, 4), 14),
        ("scale bar", (3,), 200),
    ]


@SCALES
def test_steps_between_frames(scale):
    frames = make_frames(8, offset=0)
    gain, offset = frames.copy(), frames.copy()
    gain[4:] *= 1.5
    offset[5:] += 100
    report = inspect_frames(scaled(gain, scale))
    assert [(f.name, f.frames) for f in report.findings] == [("gain steps", (4,))]
    error = report.table["gain_step_error"][4]
    assert error < 0.1
    assert report.table["gain_step"][4] == pytest.approx(1.5, rel=3 * error)
    assert report.table["intensity_step"][4] == pytest.approx(1.5, abs=0.1)
    assert found(scaled(offset, scale)) == {"offset steps": (5,)}


@SCALES
def test_a_background_gradient(scale):
    frames = make_frames()
    frames[1] += np.linspace(0, 60, 192)
    report = inspect_frames(scaled(frames, scale))
    assert [(f.name, f.frames) for f in report.findings] == [("background gradient", (1,))]
    noise = report.table["noise"][1] / scale
    assert report.findings[0].value * noise == pytest.approx(60, rel=0.25)


@SCALES
def test_noise_that_pixels_share(scale):
    rng = np.random.default_rng(1)
    frames = make_frames()
    correlated = ndimage.gaussian_filter(frames, (0, 0.6, 0.6))
    assert found(scaled(correlated, scale)) == {"correlated noise": tuple(range(5))}
    noise = inspect_frames(frames).table["noise"].mean()
    rows = frames + rng.normal(0, 0.5 * noise, (5, 160, 1))
    report = inspect_frames(scaled(rows, scale))
    assert found(scaled(rows, scale)) == {"row noise": tuple(range(5))}
    assert report.table["row_noise"].mean() == pytest.approx(0.5, rel=0.2)
    columns = frames + rng.normal(0, 0.5 * noise, (5, 1, 192))
    assert found(scaled(columns, scale)) == {"column noise": tuple(range(5))}
    pattern = frames + rng.normal(0, noise, (160, 192))
    assert found(scaled(pattern, scale)) == {"fixed pattern": (1, 2, 3, 4)}


def test_dark_atoms_and_their_size():
    frames = make_frames()
    table = inspect_frames(frames).table
    np.testing.assert_allclose(table["atom_sigma"], 2.0, rtol=0.15)
    assert found(1000 - frames) == {"dark atoms": tuple(range(5))}


@pytest.mark.parametrize("period", [6.5, 11.0, 23.0])
def test_the_spacing_of_lattice_planes(period):
    y, x = np.indices((200, 256))
    wave = 1 + 0.5 * np.cos(2 * np.pi * (0.8 * y + 0.6 * x) / period)
    frame = np.random.default_rng(0).poisson(30 * wave)
    assert inspect_frames(frame[np.newaxis]).table["spacing"][0] == pytest.approx(period, rel=0.02)


def test_levels():
    frames = make_frames()
    table = inspect_frames(frames.astype("uint16")).table
    assert table["n_levels"].tolist() == [len(np.unique(frame)) for frame in frames]
    assert (table["level_step"] == 1).all()
    assert found(np.floor(frames / 25) * 25) == {"coarse levels": tuple(range(5))}
    assert found(np.rint(frames * 1.4)) == {"absent levels": tuple(range(5))}


@SCALES
def test_the_noise_law(scale):
    table = inspect_frames(scaled(make_frames(dose=200), scale)).table
    np.testing.assert_allclose(table["noise_gain"] / scale, 1, rtol=0.25)
    np.testing.assert_allclose(table["readout"] / scale, 10, rtol=0.2)
    np.testing.assert_allclose(table["noise_offset"] / scale, 30, atol=25)


@SCALES
def test_exposures_and_averages(scale):
    times = np.repeat([1, 2], 4)[:, np.newaxis, np.newaxis]
    longer = make_frames(8, dose=60 * times, offset=0)
    assert found(scaled(longer, scale)) == {"exposure steps": (4,)}
    # The same mean intensity from four times as many electrons.
    averaged = make_frames(8, dose=60 * times**2, offset=0) / times**2
    assert found(scaled(averaged, scale)) == {"noise steps": (4,)}


@pytest.mark.parametrize("kind", ["gaussian", "perlin", "random"])
def test_damage_is_no_step(kind):
    for seed in range(3):
        for dose in (30, 1000):
            stack = make_damage_sequence(
                kind, 3, shape=(96, 128), dose=dose, background=0.3, random_state=seed
            )
            assert names(stack.frames) == []


def test_frames_without_noise_have_no_findings():
    for seed in range(2):
        clean = make_damage_sequence("gaussian", 2, dose=None, random_state=seed).frames
        report = inspect_frames(clean)
        assert not report.findings
        assert (report.table["noise"] == 0).all()
        assert "none of single pixels stands out" in str(report)


def test_the_text_and_the_page():
    stack = FrameStack(make_frames().astype("uint16"), names=tuple("abcde"))
    report = inspect_frames(stack)
    lines = str(report).splitlines()
    assert lines[0] == "FrameReport: 5 frames of 160 x 192 px, no findings"
    assert [line.split(":")[0] for line in lines[1:]] == ["noise", "atoms", "levels"]
    assert "a gain of 1" in lines[1]
    assert "bright, sigma 2" in lines[2]
    assert report.table["name"].tolist() == list("abcde")
    stack.frames[3, 20, 30] = 9000
    report = inspect_frames(stack)
    assert "1 finding\n" in str(report)
    assert "\n- spikes in frame 3: 1 px. Single pixels" in str(report)
    assert report.table["findings"].tolist() == ["", "", "", "spikes", ""]
    page = report._repr_html_()
    pictures = [iio.imread(base64.b64decode(png)) for png in re.findall(r"base64,([\w+/=]+)", page)]
    assert len(pictures) == 5
    reddish = [(p[..., 0].astype(int) - p[..., 1] > 100).sum() for p in pictures]
    assert reddish[3] > 20
    assert sum(reddish) == reddish[3]


def test_small_frames_and_wrong_stacks():
    for shape in ((1, 1, 1), (2, 5, 7), (3, 16, 16), (1, 1, 200)):
        inspect_frames(np.random.default_rng(0).poisson(30, shape))
    inspect_frames(np.full((2, 20, 20), np.nan))
    with pytest.raises(ValueError, match="pass stack"):
        inspect_frames(np.ones((20, 20)))
    with pytest.raises(ValueError, match="stack contains inf"):
        inspect_frames(np.full((1, 20, 20), np.inf))


def odd_stacks():
    """Return stacks of which little can be told."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(30, (3, 16, 20)).astype("f4")
    dark = make_frames(3, offset=0) - 200 + np.linspace(0, 200, 192)
    return {
        "small": counts,
        "one": counts[:1],
        "blank": 0 * counts,
        "a blank one among others": make_frames(3) * np.array([1, 0, 1])[:, None, None],
        "constant": np.full((3, 64, 64), 1e30),
        "lines": counts[:, :1],
        "few counts": rng.poisson(0.01, (3, 64, 64)),
        "without noise": np.ones((3, 64, 1)) * np.arange(64.0),
        "negative at the dark end": dark,
        "missing": np.where(counts > 33, np.nan, counts),
        "large and small": np.stack([make_frames(1)[0], 1e30 * make_frames(1)[0]]),
    }


@pytest.mark.parametrize("kind", odd_stacks())
def test_what_a_frame_does_not_tell_is_nan_and_never_infinite(kind):
    report = inspect_frames(odd_stacks()[kind])
    numbers = report.table.select_dtypes("number")
    assert not np.isinf(numbers.to_numpy(dtype=float)).any()
    assert np.isfinite(numbers.loc[:, :"fixed_pattern"].to_numpy(dtype=float)).all()
    assert np.isfinite([finding.value for finding in report.findings]).all()
    assert all(text and "inf" not in text.split() for text in (str(report), report._repr_html_()))


def test_a_gradient_that_begins_below_zero_is_found():
    assert "background gradient" in names(odd_stacks()["negative at the dark end"])


def test_real_frames(shared_data):
    platinum = found(read_stack(shared_data / "ptnc" / "047_HAADF_15nm_Sample_PtNC_21Oct20.tif"))
    assert not {"fixed pixels", "spikes", "unrecorded edges", "data bar"} & platinum.keys()
    pair = found(np.load(shared_data / "lowdose_pairs" / "katsuno_train_pair.npy"))
    assert not {"spikes", "duplicates", "blank frames"} & pair.keys()
