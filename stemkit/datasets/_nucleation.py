"""Frames of nucleation: disordered atoms, vacuum, and crystalline grains."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

from .._constraints import Interval, check_arguments
from .._random import RandomState, check_seed, sample_generator
from .._scene import as_shape, render_columns
from .._validation import Float32Array
from ._nucleation_model import (
    AtomBatch,
    Contrast,
    Lattice,
    NucleationModel,
    Sampler,
    draw_atoms,
)
from ._perlin import Backend
from ._ranges import Range


@check_arguments(
    n_samples=[Interval(int, 1, None)], shape=["frame shape"], random_state=["random_state"]
)
def make_nucleation(
    n_samples: int = 10,
    shape: tuple[int, int] = (256, 256),
    *,
    contrast: Contrast = "default",
    background: Range | None = None,
    peak: Range | None = None,
    sigma: Range | None = None,
    peak_spread: float = 0.15,
    sigma_spread: float = 0.10,
    min_distance: Range | None = None,
    sampler: Sampler = "darts",
    mask_scale: float = 100.0,
    mask_octaves: int = 6,
    mask_persistence: float = 0.5,
    mask_lacunarity: float = 2.0,
    mask_threshold: float = 0.5,
    mask_backend: Backend = "stemkit",
    order: Range = 0.0,
    lattice: Lattice = "hexagonal",
    spacing: Range | None = None,
    gain: float = 0.03583,
    offset: float = 1.379,
    column_sigma: float = 0.6641,
    whole_numbers: bool = True,
    random_state: RandomState = None,
) -> Bunch:
    """Make HRTEM frames of nucleation, with and without noise, and their dot maps.

    These are frames like those of the NUC set [1]_: disordered atoms, none closer than a minimal
    distance to another, vacuum where Perlin noise is low, and the calibrated noise of an HRTEM's
    camera. Parameters that the paper does not give have defaults that reproduce its figures for a
    Gaussian filter (see Notes). With ``order`` a crystalline grain lies among the disordered atoms.

    A *range* is a number, or ``(low, high)``, from which each frame draws its own uniformly.

    Parameters
    ----------
    n_samples : int, default=10
        Number of frames.
    shape : tuple of int, default=(256, 256)
        Shape (H, W) of a frame.
    contrast : {"default", "high", "low"}, default="default"
        Presets of ``background``, ``peak``, ``sigma`` and ``min_distance``. "high" is easier than
        the default; "low" has about the contrast of the paper's real frames.
    background : range, optional
        Brightness of the background in counts, of 255. Presets: (94, 104), high (70, 95),
        low (90, 113).
    peak : range, optional
        Peak of an atom above the background in counts. Presets: (32, 46), high (50, 115), low
        (11, 33).
    sigma : range, optional
        Standard deviation of an atom's Gaussian in px, from 0.3. Presets: (1.3, 1.7), high
        (1.3, 1.8), low (1.45, 1.72).
    peak_spread, sigma_spread : float, default=0.15, 0.10
        Standard deviation of the peaks and widths of a frame's atoms, as a fraction of the frame's
        ``peak`` and ``sigma``. Peaks are cut at 0, widths at 0.3 of the frame's.
    min_distance : range, optional
        Minimal distance between two atoms in px, from 1.5. Presets: 4, high 4, low (4, 6).
    sampler : {"darts", "bridson"}, default="darts"
        How the Poisson-disk positions of the disordered atoms are drawn: by dart throwing, in
        about 10 ms a frame, or by Bridson's algorithm, which the paper cites, in
        :class:`scipy.stats.qmc.PoissonDisk`, in 1 to 2 s (see Notes).
    mask_scale : float, default=100.0
        Distance in px between the grid points of the coarsest of the mask's Perlin noises.
    mask_octaves : int, default=6
        Number of Perlin noises that are summed, up to 16.
    mask_persistence, mask_lacunarity : float, default=0.5, 2.0
        Amplitude and spatial frequency of each noise as a multiple of those of the one before.
    mask_threshold : float, default=0.5
        Vacuum lies where ``(noise + 1) / 2`` is below this; 0 for none.
    mask_backend : {"stemkit", "noise"}, default="stemkit"
        "noise" takes the mask from ``noise.pnoise2`` of the package noise (``stemkit[noise]``).
        Its table of hashes is fixed, so that all frames show parts of one field. "stemkit" draws a
        table for each frame; with the same table both agree.
    order : range, default=0.0
        Fraction of the frame that lies in a disk in which atoms are ordered, 0 to 1. Its centre
        lies anywhere in the frame.
    lattice : {"hexagonal", "square"}, default="hexagonal"
        Lattice of the grain.
    spacing : range, optional
        Lattice parameter in px, at least 1.2 minimal distances. By default the grain is as dense
        as the disordered atoms: 1.39 minimal distances for "hexagonal", 1.29 for "square". Atoms
        vibrate about their sites with a standard deviation of 4 % of it along each axis.
    gain, offset, column_sigma : float, default=0.03583, 1.379, 0.6641
        As for :func:`stemkit.noise.functional.hrtem_noise`; the defaults are those that the paper
        measured.
    whole_numbers : bool, default=True
        Convert noisy frames to whole numbers, 0 to 255, as in 8-bit files.
    random_state : int, Generator, RandomState or None, default=None
        Source of randomness. Frame i does not depend on ``n_samples``.

    Returns
    -------
    Bunch
        ``noisy``, ``clean`` and ``target`` (n_samples, H, W), float32. The target, which a network
        learns to return, has a dot with a peak of 255 and a sigma of 0.75 px for each atom, on 0.

        ``positions``: DataFrame with a row for each atom whose centre lies in a frame: ``frame``,
        ``y``, ``x`` in px, ``amplitude`` in counts, ``sigma`` in px, ``ordered``. Atoms just
        outside contribute their tails to all three images but have no row.

        ``parameters``: DataFrame with a row for each frame: ``background``, ``peak``, ``sigma``,
        ``min_distance``, ``order``, and of the grain ``grain_y``, ``grain_x``, ``grain_radius`` in
        px, ``orientation`` in radians, counter-clockwise, and ``spacing`` in px.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value.
    ImportError
        If ``mask_backend`` is "noise" and the package noise is not installed.

    See Also
    --------
    make_nucleation_sequence : Time series of a growing grain.
    NucleationStream : New batches for training.

    Notes
    -----
    A Gaussian filter with a sigma of 1.5 px reaches 8.16 dB, an SSIM of 0.0235 and an IoU of 0.087
    against the target (300 frames); the paper's table has 8.26, 0.0207 and 0.094. With SciPy's
    positions it reaches 8.13 dB, 0.0228 and 0.096 (60 frames, standard errors 0.03, 0.0004 and
    0.007).

    The two samplers have different distributions. Dart throwing draws points uniformly, one after
    the other, until the frame is as full as Bridson's algorithm [2]_ leaves it: the density is the
    same to 1 %, and the distances to the nearest neighbour to 0.02 minimal distances. Bridson's
    algorithm searches between one and two minimal distances from existing points, so that the pair
    correlation drops at two, where that of dart throwing rises: they differ by up to 20 % there,
    and by less than 10 % below 1.7 and above 2.3. In a frame with a grain SciPy's points that are
    too close to it are removed.

    The Perlin noise has the distribution of ``noise.pnoise2``.

    References
    ----------
    .. [1] H. Li, Z. Wu, R. Shao and Y. Fu, "Statistical Characteristic-Guided Denoising for Rapid
       High-Resolution Transmission Electron Microscopy Imaging", CVPR 2026, section 3.5.
    .. [2] R. Bridson, "Fast Poisson disk sampling in arbitrary dimensions", SIGGRAPH sketches
       (2007).

    Examples
    --------
    >>> from stemkit.datasets import make_nucleation
    >>> data = make_nucleation(2, (64, 64), order=(0.2, 0.6), random_state=0)
    >>> data.noisy.shape, data.target.shape
    ((2, 64, 64), (2, 64, 64))
    >>> list(data.positions.columns)
    ['frame', 'y', 'x', 'amplitude', 'sigma', 'ordered']
    """
    model = NucleationModel(
        contrast=contrast,
        background=background,
        peak=peak,
        sigma=sigma,
        peak_spread=peak_spread,
        sigma_spread=sigma_spread,
        min_distance=min_distance,
        sampler=sampler,
        mask_scale=mask_scale,
        mask_octaves=mask_octaves,
        mask_persistence=mask_persistence,
        mask_lacunarity=mask_lacunarity,
        mask_threshold=mask_threshold,
        mask_backend=mask_backend,
        order=order,
        lattice=lattice,
        spacing=spacing,
        gain=gain,
        offset=offset,
        column_sigma=column_sigma,
        whole_numbers=whole_numbers,
    )
    shape = as_shape(shape)
    seed = check_seed(random_state)
    like = np.empty(0, dtype=np.float32)
    frames = NucleationFrames(model, shape, n_samples)
    for index in range(n_samples):
        rng = sample_generator(seed, index)
        frames.add(draw_atoms(model, shape, 1, like, rng), rng)
    return frames.bunch()


class NucleationFrames:
    """Collect frames of nucleation, with their targets and tables."""

    def __init__(self, model: NucleationModel, shape: tuple[int, int], n_frames: int) -> None:
        self.model, self.shape = model, shape
        self.noisy, self.clean, self.target = (
            np.empty((n_frames, *shape), dtype=np.float32) for _ in range(3)
        )
        self.positions: list[pd.DataFrame] = []
        self.parameters: list[dict[str, float]] = []

    def add(self, atoms: AtomBatch, rng: np.random.Generator) -> pd.DataFrame:
        """Add the next frame, and return the table of the atoms with their centre in it."""
        index = len(self.positions)
        self.clean[index], self.target[index] = render(atoms, self.shape)
        self.noisy[index] = self.model.record(self.clean[index], rng)
        names = ("y", "x", "amplitude", "sigma", "ordered")
        inside = atoms.inside(self.shape)
        table = pd.DataFrame({name: getattr(atoms, name)[inside] for name in names})
        table.insert(0, "frame", index)
        table = table.astype(dict.fromkeys(names[:4], float))
        self.positions.append(table)
        self.parameters.append({name: float(value[0]) for name, value in atoms.drawn.items()})
        return table

    def bunch(self) -> Bunch:
        """Return everything as :func:`make_nucleation` does."""
        return Bunch(
            noisy=self.noisy,
            clean=self.clean,
            target=self.target,
            positions=pd.concat(self.positions, ignore_index=True),
            parameters=pd.DataFrame(self.parameters),
        )


def render(atoms: AtomBatch, shape: tuple[int, int]) -> tuple[Float32Array, Float32Array]:
    """Render the clean frame and the target of a batch of one frame."""
    clean = render_columns(atoms.scene(), shape) + atoms.drawn["background"][0]
    return clean, render_columns(atoms.dots(), shape)
