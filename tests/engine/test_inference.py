import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemkit.engine import run_tiled
from stemkit.engine.inference import _spans


def random_frames(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def brighten(x):
    return torch.cat([torch.exp(x), 3 * x - 1], dim=1)


def make_network(radius, pooling=1):
    """Make a network with a receptive field of `radius` px to each side and equal weights."""
    reach = radius // pooling
    mean = torch.nn.Conv2d(1, 1, 2 * reach + 1, padding=reach)
    torch.nn.init.constant_(mean.weight, 1 / mean.weight.numel())
    return torch.nn.Sequential(
        torch.nn.AvgPool2d(pooling), mean, torch.nn.Tanh(), torch.nn.Upsample(scale_factor=pooling)
    )


sizes = st.tuples(st.integers(1, 70), st.integers(1, 70))


@given(
    size=sizes,
    n=st.integers(1, 3),
    tile=st.sampled_from([16, 24]),
    overlap=st.integers(0, 4),
    multiple=st.sampled_from([1, 2, 8]),
    batch_size=st.sampled_from([None, 1, 5]),
)
def test_pointwise_function_gives_what_it_gives_untiled(
    size, n, tile, overlap, multiple, batch_size
):
    frames = random_frames(n, 1, *size)
    tiled = run_tiled(
        brighten, frames, tile=tile, overlap=overlap, multiple=multiple, batch_size=batch_size
    )
    # the last bit of exp may depend on the memory layout
    np.testing.assert_allclose(tiled, brighten(torch.tensor(frames)).numpy(), rtol=3e-7, atol=1e-7)
    assert tiled.dtype == np.float32
    negated = run_tiled(torch.neg, frames, tile=tile, overlap=overlap, multiple=multiple)
    np.testing.assert_array_equal(negated, -frames)


@settings(max_examples=25)
@given(size=sizes, batch_size=st.sampled_from([1, 3]))
def test_tiles_have_no_seam_if_the_margin_covers_the_receptive_field(size, batch_size):
    network, frames = make_network(radius=6), random_frames(2, 1, *size)
    tiled = run_tiled(network, frames, tile=40, overlap=16, batch_size=batch_size)
    with torch.no_grad():
        untiled = network(torch.tensor(frames)).numpy()
    np.testing.assert_allclose(tiled, untiled, atol=1e-5)


def test_seams_are_smooth_if_the_receptive_field_exceeds_the_margin():
    # at the edge of a tile, zero padding makes the mean over ones smaller than one
    network, frames = make_network(radius=12), np.ones((1, 1, 40, 200), np.float32)
    tiled = run_tiled(network, frames, tile=40, overlap=16)[0, 0, 20, 20:-20]
    steps = np.abs(np.diff(tiled)).max()
    assert steps < 0.5 * np.ptp(tiled)
    assert np.ptp(tiled) < 0.1


def test_pooling_is_cut_as_in_the_whole_frame():
    network, frames = make_network(radius=8, pooling=4), random_frames(1, 1, 101, 67)
    tiled = run_tiled(network, frames, tile=64, overlap=32, multiple=4)
    padded = np.pad(frames, [(0, 0), (0, 0), (0, 3), (0, 1)], mode="symmetric")
    with torch.no_grad():
        untiled = network(torch.tensor(padded))[..., :101, :67].numpy()
    np.testing.assert_allclose(tiled, untiled, atol=1e-5)


@given(
    length=st.integers(1, 400),
    tile=st.sampled_from([8, 16, 40, 64]),
    share=st.floats(0, 0.5),
    multiple=st.sampled_from([1, 4, 8]),
)
def test_tiles_cover_an_axis_and_overlap_enough(length, tile, share, multiple):
    overlap = int(min(tile * share, tile - multiple))
    spans = _spans(length, tile, overlap, multiple)
    assert spans[0].start == 0
    assert 0 <= spans[-1].stop - length < multiple
    for before, after in itertools.pairwise(spans):
        assert before.stop - after.start >= overlap
        # fades do not overlap, and both tiles cover the whole fade
        assert before.fade_stop <= after.fade_start <= after.fade_stop <= before.stop
    assert all(span.start % multiple == 0 for span in spans)
    assert len({span.stop - span.start for span in spans}) == 1


def test_function_never_gets_more_than_a_batch_of_tiles():
    seen = []

    def watch(x):
        seen.append(tuple(x.shape))
        return x

    run_tiled(watch, random_frames(3, 2, 50, 300), tile=64, overlap=8, batch_size=4)
    assert all(n <= 4 and (h, w) == (50, 64) for n, _, h, w in seen)
    assert sum(shape[0] for shape in seen) == 3 * 6


def test_one_tile_at_a_time_on_the_cpu_by_default():
    seen = []
    run_tiled(lambda x: seen.append(len(x)) or x, random_frames(3, 1, 50, 100), tile=64, overlap=8)
    assert seen == [1] * 6


def test_frame_that_fits_is_done_in_one_pass():
    seen = []
    run_tiled(lambda x: seen.append(x.shape) or x, random_frames(1, 1, 61, 256), tile=256)
    assert [tuple(shape) for shape in seen] == [(1, 1, 61, 256)]


def test_out_is_written_to(tmp_path):
    frames = random_frames(2, 1, 40, 50)
    out = np.memmap(tmp_path / "out", np.float32, "w+", shape=(2, 2, 40, 50))
    assert run_tiled(brighten, frames, tile=16, overlap=4, out=out) is out
    np.testing.assert_array_equal(out, run_tiled(brighten, frames, tile=16, overlap=4))


def test_module_is_left_in_its_modes_and_random_state_untouched():
    network = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm2d(1)).train()
    network[1].eval()
    frames, before = random_frames(1, 1, 20, 20), torch.get_rng_state()
    result = run_tiled(network, frames, tile=8, overlap=2)
    np.testing.assert_allclose(result, frames, rtol=1e-4)  # no dropout, same statistics
    assert [part.training for part in network.modules()] == [True, True, False]
    assert torch.equal(before, torch.get_rng_state())


def test_modes_come_back_after_an_error():
    class Broken(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError("no")

    network = Broken().train()
    with pytest.raises(RuntimeError, match="no"):
        run_tiled(network, random_frames(1, 1, 4, 4))
    assert network.training


@pytest.mark.parametrize(
    "shape, arguments, message",
    [
        ((4, 4), {}, r"of shape \(n, C, H, W\)"),
        ((0, 1, 4, 4), {}, r"each at least 1; got \(0, 1, 4, 4\)"),
        ((1, 1, 4, 4), {"tile": 12, "multiple": 8}, "tile must be a multiple of 8; got 12"),
        ((1, 1, 4, 4), {"tile": 8, "overlap": 5}, "overlap must be at most 4 px"),
        ((1, 1, 4, 4), {"batch_size": 0}, "batch_size must be None or an int of at least 1"),
        ((1, 1, 4, 4), {"batch_size": 10**30}, "batch_size must be None or an int"),
        ((1, 1, 4, 4), {"out": 1}, "out must be None or a ndarray"),
        ((1, 1, 4, 4), {"out": np.ones((1, 1, 4, 4))}, "out must be a writeable float32 array"),
        ((1, 1, 4, 4), {"out": np.ones((1, 1, 4, 5), "f4")}, r"of shape \(1, C_out, 4, 4\)"),
        ((1, 1, 4, 4), {"out": np.ones((1, 2, 4, 4), "f4")}, "out has 2 channels, but function"),
    ],
)
def test_bad_arguments_are_named(shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        run_tiled(torch.neg, np.zeros(shape, np.float32), **arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_frames_that_are_not_finite_are_named(value):
    frames = np.ones((3, 1, 9, 9))
    frames[1, 0, 4, 4] = value
    with pytest.raises(ValueError, match=r"arrays contains NaN, inf or .* frames \[1\]"):
        run_tiled(torch.neg, frames)


def test_lists_and_tensors_are_converted():
    frames = random_frames(2, 1, 9, 9)
    for other in (frames.tolist(), torch.from_numpy(frames).requires_grad_(), memoryview(frames)):
        np.testing.assert_array_equal(run_tiled(torch.neg, other), -frames)
    with pytest.raises(ValueError, match="arrays must hold real numbers; got dtype complex64"):
        run_tiled(torch.neg, frames.astype("complex64"))


def test_function_that_changes_the_size_is_named():
    with pytest.raises(ValueError, match=r"it got \(1, 1, 9, 9\) and gave \(1, 1, 4, 4\)"):
        run_tiled(torch.nn.MaxPool2d(2), random_frames(1, 1, 9, 9))


def test_progress_is_shown_when_asked(capfd):
    run_tiled(torch.neg, random_frames(2, 1, 9, 9))
    assert capfd.readouterr() == ("", "")
    run_tiled(torch.neg, random_frames(2, 1, 9, 9), verbose=1)
    assert "2/2" in capfd.readouterr().err


@pytest.mark.parametrize("function", [int, lambda: 0, "neg"])
def test_the_function_takes_tiles(function):
    with pytest.raises(ValueError, match=r"^function must be .* is called with \(tiles\)"):
        run_tiled(function, np.zeros((1, 1, 4, 4), np.float32))
