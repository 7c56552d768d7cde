"""Tests of stacks with the metadata of their files."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import KFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils import resample

from stemkit.denoise import GaussianDenoiser
from stemkit.io import FrameStack
from stemkit.noise import ShotNoise


@pytest.fixture
def stack():
    rng = np.random.default_rng(0)
    return FrameStack(
        rng.integers(0, 999, (6, 24, 32)).astype("u2"),
        (0.02, 0.03),
        tuple(f"a{i}" for i in range(6)),
        times=np.arange(6) * 0.5,
        voltage=300.0,
        dwell_time=3e-6,
        detector="HAADF",
        metadata={"stage": 1},
        mask=rng.random((6, 24, 32)) < 0.1,
    )


def test_numpy_takes_a_stack_as_its_frames(stack):
    assert np.asarray(stack) is stack.frames
    assert np.asarray(stack, dtype="f4").dtype == np.float32
    assert np.array(stack) is not stack.frames
    assert np.array_equal(np.mean(stack, axis=0), stack.frames.mean(axis=0))
    assert (stack.shape, stack.ndim, stack.dtype, len(stack)) == ((6, 24, 32), 3, "u2", 6)
    assert np.array_equal(list(stack), stack.frames)


@pytest.mark.parametrize(
    "index",
    [slice(1, 4), [4, 0], np.array([2, 2]), np.arange(6) > 2, slice(None, None, -1)],
    ids=str,
)
def test_chosen_frames_keep_their_names_times_and_mask(stack, index):
    part = stack[index]
    which = np.arange(6)[index]
    assert np.array_equal(part.frames, stack.frames[which])
    assert part.names == tuple(f"a{i}" for i in which)
    assert np.array_equal(part.times, which * 0.5)
    assert np.array_equal(part.mask, stack.mask[which])
    assert (part.pixel_size, part.detector, part.metadata) == ((0.02, 0.03), "HAADF", {"stage": 1})


def test_windows_and_steps_have_their_pixel_size(stack):
    window = stack[:, 2:20, 5:]
    assert (window.shape, window.pixel_size) == ((6, 18, 27), (0.02, 0.03))
    assert window.mask.shape == window.shape
    assert stack[:, ::3, ::2].pixel_size == 0.06
    assert stack[..., ::2].pixel_size == (0.02, 0.06)
    assert stack[[0, 1]][:, [3, 4, 9]].pixel_size is None  # not equidistant
    assert np.array_equal(stack[1:3, ..., 4:6].frames, stack.frames[1:3, :, 4:6])


def test_one_frame_is_an_array(stack):
    assert type(stack[2]) is np.ndarray
    assert np.array_equal(stack[2], stack.frames[2])
    assert stack[2, 3, 4] == stack.frames[2, 3, 4]


def test_scikit_learn_splits_a_stack(stack):
    train, test = train_test_split(stack, test_size=2, random_state=0)
    assert isinstance(train, FrameStack)
    assert len(train) == 4
    assert set(train.names) | set(test.names) == set(stack.names)
    assert len(resample(stack, random_state=0)) == 6
    stack = replace(stack, mask=None)  # simulators take no missing pixels
    clean = np.asarray(stack, dtype=float)
    pipe = make_pipeline(ShotNoise(dose=10, random_state=0), GaussianDenoiser(sigma=1))
    options = {"cv": KFold(2), "scoring": "neg_mean_squared_error"}
    one_line_frames = clean.reshape(6, -1)
    expected = cross_val_score(pipe, one_line_frames, one_line_frames, **options)
    assert np.isfinite(expected).all()
    assert np.array_equal(pipe.fit(stack, clean).transform(stack), pipe.transform(stack.frames))


def test_a_stack_is_copied_and_pickled(stack):
    for other in (copy.deepcopy(stack), pickle.loads(pickle.dumps(stack))):
        assert np.array_equal(other.frames, stack.frames)
        assert (other.names, other.pixel_size) == (stack.names, stack.pixel_size)


def test_the_representation_is_one_line(stack):
    text = repr(stack)
    assert text.startswith("FrameStack: 6 frames of 24 x 32 px, uint16, pixels of 0.02 x 0.03 nm")
    assert "voltage 300 kV" in text
    assert "dwell time 3 µs" in text
    assert f"{stack.mask.sum()} pixels are missing" in text
    assert "\n" not in text
    assert repr(FrameStack(np.zeros((1, 2, 3)))) == (
        "FrameStack: 1 frame of 2 x 3 px, float64, pixel size unknown"
    )


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 7.0])
def test_the_notebook_shows_a_thumbnail_of_any_frame(stack, value):
    frames = stack.frames.astype(float)
    frames[0] = value
    html = FrameStack(frames, detector="<b>")._repr_html_()
    assert 'src="data:image/png;base64,' in html
    assert "&lt;b&gt;" in html


def test_the_thumbnail_of_a_large_frame_is_small():
    frame = np.random.default_rng(0).normal(size=(1, 2000, 1000))
    assert len(FrameStack(frame)._repr_html_()) < 30_000
