"""Annular dark-field frames from a simulation of the beam's scattering, through abTEM."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .._validation import Float32Array
from ._crystal_patch import CrystalPatch, View

# Settings of the microscope: eV, mrad, mrad.
_ENERGY = 200e3
_CONVERGENCE = 20.0
_DETECTOR = (70.0, 110.0)
# Thermal vibration, in angstrom along each axis, and the number of snapshots that are averaged.
# Without it hardly any electrons are scattered to high angles.
_VIBRATION = 0.08
_N_SNAPSHOTS = 4
# Sampling of the potential, in angstrom: fine enough for the angles of the detector.
_SAMPLING = 0.07
_SLICE = 2.0
# Vacuum around the specimen, and the minimal distance between a probe and its periodic image.
_RIM = 2.0
_PROBE_WINDOW = 12.0


def simulate(patch: CrystalPatch, view: View, rng: np.random.Generator) -> Float32Array:
    """Compute a frame by the PRISM method.

    Parameters
    ----------
    patch : CrystalPatch
        Part of a crystal in which each atom is placed individually.
    view : View
        The frame; ``view.sigma`` blurs it, for the finite size of the source.
    rng : Generator
        Source of the thermal vibrations.

    Returns
    -------
    ndarray of shape (H, W), float32
        Fraction of the beam that reaches the detector.
    """
    try:
        import abtem
    except ImportError as error:
        raise ImportError(
            "simulator='abtem' needs abTEM; install it with pip install 'stemkit[abtem]'."
        ) from error
    from ase import Atoms

    pixel = 10 * view.pixel_size
    site, element = np.nonzero(patch.counts)
    # In abTEM coordinates start at a corner, are in angstrom, x first, and z is along the beam.
    positions = np.column_stack([patch.points[site, ::-1] * pixel, -10 * patch.height[site]])
    low = positions.min(axis=0) - _RIM
    cell = positions.max(axis=0) + _RIM - low
    atoms = Atoms(patch.numbers[element], positions - low, cell=cell, pbc=True)
    phonons = abtem.FrozenPhonons(
        atoms, num_configs=_N_SNAPSHOTS, sigmas=_VIBRATION, seed=int(rng.integers(2**31))
    )
    potential = abtem.Potential(phonons, sampling=_SAMPLING, slice_thickness=_SLICE)
    waves = abtem.SMatrix(
        potential=potential,
        energy=_ENERGY,
        semiangle_cutoff=_CONVERGENCE,
        interpolation=tuple(max(1, int(side // _PROBE_WINDOW)) for side in potential.extent),
    )
    # The image of this probe has no finer details, so that the pixels can be interpolated.
    step = max(pixel, abtem.transfer.nyquist_sampling(_CONVERGENCE, _ENERGY))
    span = (np.array(view.shape) - 1) * pixel
    n_probes = np.ceil(span / step).astype(int) + 1
    scan = abtem.GridScan(
        start=tuple(-low[:2]),
        end=tuple(span[::-1] - low[:2]),
        gpts=tuple(n_probes[::-1]),
        endpoint=True,
    )
    measured = waves.scan(scan, abtem.AnnularDetector(*_DETECTOR)).compute(progress_bar=False)
    image = measured.array.T
    if image.shape != view.shape:
        at = np.meshgrid(
            *(np.linspace(0, n - 1, m) for n, m in zip(image.shape, view.shape, strict=True)),
            indexing="ij",
        )
        image = ndimage.map_coordinates(image, at, order=3, mode="nearest")
    return ndimage.gaussian_filter(image, view.sigma).clip(0).astype(np.float32)
