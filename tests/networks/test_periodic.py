"""The periodic part, compared with known lattices and explicit least squares."""

import numpy as np
import pytest
import torch

from stemkit.networks._periodic import periodic_part
from stemkit.networks._reciprocal import find_reciprocal


def lattice_frame(basis, shape=(160, 200), phases=(0.3, 1.1), second=0.3):
    """Waves along two reciprocal vectors (cycles per px), their sum, and twice the first."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    turns = [2 * np.pi * (g[0] * y + g[1] * x) for g in basis]
    frame = np.cos(turns[0] + phases[0]) + np.cos(turns[1] + phases[1])
    frame += second * np.cos(turns[0] + turns[1]) + second * np.cos(2 * turns[0])
    return frame.astype(np.float32)


def rotated(length, ratio, turn, angle=90.0):
    turns = np.deg2rad([turn, turn + angle])
    return np.array([length, length * ratio])[:, None] * np.stack([np.cos(turns), np.sin(turns)], 1)


def is_same_lattice(found, basis, tolerance):
    orders = np.asarray(found, dtype=float) @ np.linalg.inv(basis)
    whole = np.rint(orders)
    return abs(round(np.linalg.det(whole))) == 1 and np.abs(orders - whole).max() < tolerance


def test_most_lattices_are_found_in_noise():
    """The noise is twelve times as strong as the signal, which is invisible by eye."""
    rng = np.random.default_rng(0)
    n_lattices, n_found = 60, 0
    for _ in range(n_lattices):
        angle = rng.choice([60.0, 75.0, 90.0])
        basis = rotated(rng.uniform(0.04, 0.11), rng.uniform(0.8, 1.25), rng.uniform(0, 180), angle)
        frame = lattice_frame(basis)
        frame += rng.normal(0, 8, frame.shape).astype(np.float32)
        found = find_reciprocal(torch.from_numpy(frame - frame.mean()))
        n_found += found.log_ratio > 20 and is_same_lattice(found.basis.numpy(), basis, 0.02)
    assert n_found >= 0.95 * n_lattices


def test_noise_alone_gives_almost_no_lattice_prior():
    noise = torch.randn(20, 128, 128, generator=torch.Generator().manual_seed(0))
    log_ratios = [find_reciprocal(frame - frame.mean()).log_ratio for frame in noise]
    assert max(log_ratios) < 20


def test_periodic_part_takes_off_noise():
    """The remaining noise is that of the fitted coefficients of the harmonics."""
    clean = lattice_frame(rotated(0.07, 1.1, 17.0))
    noise = np.random.default_rng(0).normal(0, 2, clean.shape).astype(np.float32)
    noisy = torch.from_numpy(clean + noise + 7)
    part = periodic_part(noisy[None], noisy)[0].numpy()
    error = ((part - (clean - clean.mean())) ** 2).mean()
    # Four waves have two coefficients each; a few others are fitted by chance.
    assert error < 6 * 8 * 4 / clean.size
    assert error < 0.01 * clean.var()


def test_overlapping_harmonics_are_separated():
    """In a small frame the spectra of waves overlap; least squares separates them."""
    basis = rotated(0.081, 1.0, 31.0)
    clean = lattice_frame(basis, (48, 40), second=0.15)
    part = periodic_part(torch.from_numpy(clean)[None], torch.from_numpy(clean))[0].numpy()
    wanted = clean - clean.mean()
    # Without least squares the error is 0.003.
    assert ((part - wanted) ** 2).mean() < 0.001 * wanted.var()


def test_other_versions_share_the_lattice_and_gradients_pass():
    clean = torch.from_numpy(lattice_frame(rotated(0.07, 1.1, 17.0)))
    scale = torch.tensor([1.0, -3.0], requires_grad=True)
    part = periodic_part(scale[:, None, None] * clean, clean)
    torch.testing.assert_close(part[1], -3 * part[0], rtol=1e-3, atol=1e-3)
    part.square().sum().backward()
    # For a fixed choice of harmonics the periodic part is linear in the frame.
    expected = 2 * part.detach().square().sum((1, 2)) / scale.detach()
    torch.testing.assert_close(scale.grad, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (15, 15), (16, 16), (17, 90)])
@pytest.mark.parametrize("kind", ["constant", "noise", "ramp"])
def test_frames_without_a_lattice(shape, kind):
    frame = {
        "constant": torch.full(shape, 7.0),
        "noise": torch.randn(shape, generator=torch.Generator().manual_seed(1)),
        "ramp": torch.arange(float(np.prod(shape))).reshape(shape) / 50,
    }[kind]
    part = periodic_part(frame[None], frame)
    assert part.shape == (1, *shape)
    assert part.isfinite().all()
    if min(shape) < 16 or kind == "constant":
        assert not part.any()
