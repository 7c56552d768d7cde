import itertools
import pickle

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from stemkit._random import sample_generator
from stemkit._scene import Scene, render_columns
from stemkit.datasets import NucleationStream, make_nucleation
from stemkit.datasets._nucleation_stream import render_gaussians
from stemkit.engine import StreamSource

SHAPE = (40, 56)


def at_once(stream, seed):
    """Make a batch on the CPU as on a GPU."""
    return stream._make_at_once(torch.Generator().manual_seed(seed))


def test_batches_depend_only_on_seed_and_step():
    stream = NucleationStream(3, SHAPE, random_state=5)
    noisy, target = stream.batch(4)
    assert noisy.shape == target.shape == (3, *SHAPE)
    assert noisy.dtype == target.dtype == torch.float32
    # A batch does not depend on earlier ones, so that a training can be resumed.
    again = NucleationStream(3, SHAPE, random_state=5)
    for step in (0, 4):
        for ours, theirs in zip(stream.batch(step), again.batch(step), strict=True):
            assert (ours == theirs).all()
    assert not (noisy == stream.batch(5)[0]).all()
    assert not (noisy == NucleationStream(3, SHAPE, random_state=6).batch(4)[0]).all()
    for step, batch in enumerate(itertools.islice(stream, 3)):
        assert (batch[0] == stream.batch(step)[0]).all()
    assert (pickle.loads(pickle.dumps(stream)).batch(4)[1] == target).all()


def test_a_smaller_batch_is_the_beginning_of_a_larger():
    large, small = (NucleationStream(size, SHAPE, random_state=0).batch(2) for size in (5, 2))
    for many, few in zip(large, small, strict=True):
        assert (many[:2] == few).all()


def test_frames_of_a_batch_differ():
    noisy, target = NucleationStream(4, SHAPE, random_state=0).batch(0)
    assert len(np.unique(noisy.numpy().reshape(4, -1), axis=0)) == 4
    assert len(np.unique(target.numpy().reshape(4, -1), axis=0)) == 4


def test_it_is_a_source_for_training():
    stream = NucleationStream(2, SHAPE)
    source = StreamSource(stream.make_batch, random_state=3)
    noisy, target = source.batch(9)
    for ours, theirs in zip(
        (noisy, target), stream.make_batch(sample_generator(3, 9)), strict=True
    ):
        assert (ours == theirs).all()


def test_global_random_states_are_not_changed():
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()
    stream = NucleationStream(1, SHAPE)
    stream.batch(0)
    at_once(stream, 0)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert (torch.get_rng_state() == torch_state).all()


@pytest.mark.parametrize("options", [{}, {"contrast": "low", "order": (0.0, 1.0)}])
def test_a_gpu_draws_from_the_distribution_of_make_nucleation(options):
    shape, n_frames = (32, 32), 250
    data = make_nucleation(n_frames, shape, random_state=0, **options)
    noisy, target = (
        images.numpy() for images in at_once(NucleationStream(n_frames, shape, **options), 1)
    )
    assert (noisy == np.floor(noisy).clip(0, 255)).all()

    def statistics(noisy, target):
        blurred = np.abs(np.fft.rfft2(target))
        return {
            "brightness": noisy.mean(axis=(1, 2)),
            "contrast": noisy.std(axis=(1, 2)),
            "a pixel": noisy[:, 7, 20],
            "a corner": noisy[:, 0, 0],
            "fine noise": np.diff(noisy, axis=1).std(axis=(1, 2)),
            "column noise": np.diff(noisy.mean(axis=1), axis=1).std(axis=1),
            "number of atoms": target.sum(axis=(1, 2)),
            "a dot's pixel": target[:, 11, 13],
            "atoms at the border": target[:, -1].sum(axis=1),
            "distances": blurred[:, 5, 5],
            "order": blurred[:, 1:].max(axis=(1, 2)),
            "vacuum": target[:, :16].sum(axis=(1, 2)) - target[:, 16:].sum(axis=(1, 2)),
        }

    ours, theirs = statistics(data.noisy, data.target), statistics(noisy, target)
    for name, values in ours.items():
        assert ks_2samp(values, theirs[name]).pvalue > 1e-6, name


@pytest.mark.parametrize("sampler", ["darts", "bridson"])
def test_batches_made_at_once_are_reproducible_and_keep_the_distance(sampler):
    stream = NucleationStream(3, SHAPE, sampler=sampler, order=0.5, mask_threshold=0)
    (noisy, target), (again, _) = at_once(stream, 2), at_once(stream, 2)
    assert (noisy == again).all()
    assert not (noisy == at_once(stream, 3)[0]).all()
    # Dots 4 px apart do not add up.
    assert 200 < target.max() <= 255.1


def test_a_gpu_renders_the_given_background():
    quiet = {"gain": 0, "offset": 0, "column_sigma": 0, "background": 97, "mask_threshold": 1}
    noisy, target = at_once(NucleationStream(2, SHAPE, **quiet), 0)
    assert (noisy == 97).all()
    assert (target == 0).all()


def test_gaussians_on_a_device_equal_those_of_scenes():
    rng = np.random.default_rng(0)
    n_atoms = 60
    frame = rng.integers(2, size=n_atoms)
    y, x = rng.uniform(-9, 60, (2, n_atoms)).astype(np.float32)
    amplitude = rng.uniform(10, 250, n_atoms).astype(np.float32)
    sigma = rng.uniform(0.5, 2.5, n_atoms).astype(np.float32)
    tensors = [torch.from_numpy(a) for a in (frame, y, x, amplitude, sigma)]
    drawn = render_gaussians((2, *SHAPE), *tensors)
    for number in (0, 1):
        atoms = (a[frame == number].astype(float) for a in (y, x, amplitude, sigma))
        expected = render_columns(Scene(*atoms), SHAPE)
        # Both cut Gaussians at 3e-4 of the peak or less, but at different pixels.
        np.testing.assert_allclose(drawn[number], expected, atol=3 * 250 * 3.4e-4)
    # Independent of the order of the sum.
    order = torch.from_numpy(rng.permutation(n_atoms))
    assert (render_gaussians((2, *SHAPE), *(t[order] for t in tensors)) == drawn).all()
    nothing = render_gaussians((2, *SHAPE), *(t[:0] for t in tensors))
    assert nothing.shape == (2, *SHAPE)
    assert (nothing == 0).all()


@pytest.mark.parametrize(
    "arguments, what",
    [
        ({"batch_size": 0}, "^batch_size must be an int of at least 1"),
        ({"device": "abacus"}, "^device='abacus' is not a device"),
        ({"shape": (8,)}, "^shape must be"),
        ({"contrast": "medium"}, "^contrast must be one of"),
        ({"device": 2.5}, "^device must be a device such as"),
        ({"random_state": "x"}, "^random_state must be"),
    ],
)
def test_invalid_arguments_are_named(arguments, what):
    with pytest.raises(ValueError, match=what):
        NucleationStream(**arguments)


def test_unknown_options_are_named():
    with pytest.raises(TypeError, match="brightness"):
        NucleationStream(brightness=3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_of_a_gpu_stay_on_it_and_are_reproducible():
    stream = NucleationStream(4, device="cuda", random_state=0)
    noisy, target = stream.batch(3)
    assert noisy.device == target.device == torch.device("cuda", 0)
    for ours, theirs in zip((noisy, target), stream.batch(3), strict=True):
        assert (ours == theirs).all()
