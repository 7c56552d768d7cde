import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stemkit.losses import (
    brightness,
    contrast,
    physics_informed,
    spectral_fidelity,
    total_variation,
)

PAIRED = [spectral_fidelity, brightness, contrast]


def pair(shape=(3, 1, 12, 17), seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(shape, generator=generator, dtype=dtype) for _ in range(2))


def frames_of(tensor):
    return tensor.detach().numpy().reshape(-1, *tensor.shape[-2:])


def variation(frame):
    height, width = frame.shape
    down = sum(abs(frame[i + 1, j] - frame[i, j]) for i in range(height - 1) for j in range(width))
    right = sum(abs(frame[i, j + 1] - frame[i, j]) for i in range(height) for j in range(width - 1))
    return down + right


def magnitudes(frame):
    """The orthonormal Fourier transform by its definition."""
    height, width = frame.shape
    along_y = np.exp(-2j * np.pi * np.outer(np.arange(height), np.arange(height)) / height)
    along_x = np.exp(-2j * np.pi * np.outer(np.arange(width), np.arange(width)) / width)
    return np.abs(along_y @ frame @ along_x) / np.sqrt(height * width)


def written_out(output, target):
    """Each term by the formula of the paper, averaged over frames."""
    pairs = list(zip(frames_of(output), frames_of(target), strict=True))
    n_pixels = output.shape[-2] * output.shape[-1]
    return {
        "mse": np.mean([((a - b) ** 2).mean() for a, b in pairs]),
        "tv": np.mean([variation(a) / n_pixels for a, _ in pairs]),
        "sf": np.mean([np.abs(magnitudes(a) - magnitudes(b)).sum() / n_pixels for a, b in pairs]),
        "b": np.mean([abs(a.mean() - b.mean()) for a, b in pairs]),
        "c": np.mean([abs(a.std() - b.std()) for a, b in pairs]),
    }


@pytest.mark.parametrize("shape", [(3, 1, 12, 17), (2, 8, 8), (1, 9)])
def test_terms_are_the_papers(shape):
    output, target = pair(shape)
    terms = physics_informed(output, target)
    # The Fourier transform has single precision.
    for name, expected in written_out(output, target).items():
        assert terms[name].item() == pytest.approx(expected, rel=1e-5), name
    weights = {"tv": 1e-2, "sf": 0.1, "b": 0.1, "c": 0.1}
    total = terms["mse"] + sum(weight * terms[name] for name, weight in weights.items())
    assert terms["loss"].item() == pytest.approx(total.item())


def test_variation_as_the_paper_sums_it_grows_with_the_frame():
    output, _ = pair((2, 10, 14))
    summed = total_variation(output, reduction="sum").item()
    assert summed == pytest.approx(np.mean([variation(frame) for frame in frames_of(output)]))
    assert total_variation(output).item() == pytest.approx(summed / 140)
    terms = physics_informed(output, output, tv_reduction="sum")
    assert terms["tv"].item() == pytest.approx(summed)
    with pytest.raises(ValueError, match=r'^reduction must be one of "mean" and "sum"'):
        total_variation(output, reduction="none")


@given(st.sampled_from([16, 24, 40]))
def test_terms_do_not_depend_on_the_size_of_the_frame(side):
    generator = torch.Generator().manual_seed(side)
    tile, other = torch.rand(2, 1, 8, 8, generator=generator)
    wide, wide_other = (frame.repeat(1, side // 8, side // 8) for frame in (tile, other))
    for loss in (brightness, contrast):
        assert loss(wide, wide_other).item() == pytest.approx(loss(tile, other).item(), rel=1e-4)
    # For noise of one distribution the mean does not depend on the size.
    small, large = (
        spectral_fidelity(*torch.rand(2, 8, n, n, generator=generator)).item() for n in (32, side)
    )
    assert small == pytest.approx(large, rel=0.2)


@pytest.mark.parametrize("loss", PAIRED)
def test_loss_is_zero_for_equal_frames_and_symmetric(loss):
    output, target = pair()
    assert loss(target, target).item() == 0
    assert loss(output, target).item() == pytest.approx(loss(target, output).item())
    assert loss(output, target).item() > 0


def test_frames_do_not_make_up_for_each_other():
    target = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    sign = torch.tensor([1.0, -1.0])[:, None, None]
    assert brightness(target + 0.25 * sign, target).item() == pytest.approx(0.25)
    mean = target.mean((-2, -1), keepdim=True)
    stretched = mean + (target - mean) * (1 + 0.5 * sign)
    expected = 0.5 * target.std((-2, -1), correction=0).mean()
    assert contrast(stretched, target).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("weights", [{}, {"tv": 0, "c": 0}, {"sf": 0}, {"b": 0}])
def test_gradients_are_those_of_differences(weights):
    output, target = pair((2, 5, 6))
    output.requires_grad_()
    # The single precision of the Fourier transform does not allow a smaller step.
    physics_informed(output, target, **weights)["loss"].backward()
    direction = torch.rand(output.shape, generator=torch.Generator().manual_seed(2)).double() - 0.5
    step = 1e-3
    with torch.no_grad():
        ahead, behind = (
            physics_informed(output + sign * step * direction, target, **weights)["loss"]
            for sign in (1, -1)
        )
    slope = ((ahead - behind) / (2 * step)).item()
    assert (output.grad * direction).sum().item() == pytest.approx(slope, rel=1e-2, abs=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.7])
def test_gradient_is_finite_for_constant_frames(level):
    output = torch.full((2, 8, 8), level, requires_grad=True)
    target = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    physics_informed(output, target)["loss"].backward()
    assert output.grad.isfinite().all()
    assert output.grad.abs().max() > 0


def test_a_weight_of_zero_leaves_its_term_out():
    output, target = pair((1, 8, 8))
    assert physics_informed(output, target, tv=0, sf=0, b=0, c=0).keys() == {"loss", "mse"}
    assert physics_informed(output, target, sf=0).keys() == {"loss", "mse", "tv", "b", "c"}


def test_half_precision_is_taken():
    output, target = pair((1, 8, 8), dtype=torch.float32)
    half = spectral_fidelity(output.bfloat16(), target.bfloat16())
    assert half.item() == pytest.approx(spectral_fidelity(output, target).item(), rel=0.02)


CALLS = {
    "spectral_fidelity": spectral_fidelity,
    "brightness": brightness,
    "contrast": contrast,
    "physics_informed": physics_informed,
    "total_variation": lambda output, target: total_variation(output),
}
GOOD = torch.linspace(0, 1, 24).reshape(2, 3, 4)


@pytest.mark.parametrize("loss", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    "bad, message",
    [
        (GOOD.numpy(), r"^output must be a torch\.Tensor; got a ndarray"),
        (GOOD.int(), r"^output must be a dense tensor of floats; got torch\.int32"),
        (GOOD.bool(), r"^output must be a dense tensor of floats; got torch\.bool"),
        (GOOD.to(torch.complex64), r"^output must be .* got torch\.complex64"),
        (GOOD.to_sparse(), r"^output must be .* layout torch\.sparse"),
        (GOOD[0, 0], r"^output must have values of shape .* got shape \(4,\)"),
        (GOOD[:0], r"^output must have values of shape"),
        (GOOD.to("meta"), r"^output must have values .* on meta"),
        (torch.where(GOOD > 0.5, torch.nan, GOOD), "^output contains NaN or inf"),
        (GOOD * 3e38 * torch.tensor([1.0, -1.0, 1.0, -1.0]), "^output or target is too large"),
    ],
)
def test_wrong_frames_are_named(loss, bad, message):
    target = GOOD if getattr(bad, "shape", ()) == GOOD.shape else bad
    if message.startswith("^output or target") and loss in (brightness, contrast):
        bad, target = bad.abs(), -bad.abs()
    with pytest.raises(ValueError, match=message):
        loss(bad, target)


@pytest.mark.parametrize("loss", [*PAIRED, physics_informed])
def test_target_must_have_the_shape_of_the_output(loss):
    with pytest.raises(ValueError, match=r"^target has shape \(2, 3\) .* output has \(2, 3, 4\)"):
        loss(GOOD, GOOD[..., 0])
    with pytest.raises(ValueError, match=r"^target must be a torch\.Tensor"):
        loss(output=GOOD, target=None)


@pytest.mark.parametrize("name", ["tv", "sf", "b", "c"])
def test_weights_must_not_be_negative(name):
    for bad in (-0.1, np.nan, "1"):
        with pytest.raises(ValueError, match=f"^{name} must be a finite number in"):
            physics_informed(GOOD, GOOD, **{name: bad})
