"""Loaders of the public sets that denoisers are compared on."""

from __future__ import annotations

import collections.abc
import warnings
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from sklearn.utils import Bunch

from .._constraints import Interval, Options, Sequence, check_arguments
from ..exceptions import InvalidParameterError
from ._fetch_cache import Cache, StrPath, find_folder
from ._image_folders import OnMissing, find_parent, paired_names, read_images

TEMImageNetLabel = Literal[
    "noBackgroundnoNoise",
    "noNoise",
    "gaussianMask",
    "circularMask",
    "smallcircularMask",
    "noNoiseNoBackgroundSuperresolution",
    "noNoiseNoBackgroundUpinterpolation2x",
    "noNoiseUpinterpolation2x",
]

SFINLabel = Literal["gt_enhance", "gt_detect"]


class _PublicSet(NamedTuple):
    name: str
    noisy: str  # name of the folder of noisy frames
    by_hand: str  # where the set can be downloaded by hand
    description: str


_TEMIMAGENET = _PublicSet(
    "temimagenet",
    "image",
    "https://github.com/xinhuolin/TEM-ImageNet-v1.3",
    """TEMImageNet v1.3

Simulated annular dark-field STEM frames of 256 x 256 px: projected crystals with scan noise,
pointwise noise and background of random strength.

R. Lin, R. Zhang, C. Wang, X.-Q. Yang and H. L. Xin, "TEMImageNet training library and AtomSegNet
deep-learning models for high-precision atom segmentation, localization, denoising, and deblurring
of atomic-resolution images", Scientific Reports 11, 5386 (2021).
""",
)
_SFIN = _PublicSet(
    "sfin",
    "noisy",
    "https://github.com/HeasonLee/SFIN",
    """SFIN dataset

Simulated STEM frames with noise calibrated on real ones, in high-angle annular dark field
(haadf_data, haadf_data_test) and bright field (bf_data, bf_data_test).

H. Li, Z. Wu, R. Shao, T. Zhang and Y. Fu, "Noise Calibration and Spatial-Frequency Interactive
Network for STEM Image Enhancement", CVPR 2025.
""",
)
_NUC = _PublicSet(
    "nuc",
    "noisy",
    "https://github.com/HeasonLee/SCGN",
    """NUC

Simulated HRTEM frames of disordered atoms, as during nucleation, with noise calibrated on a real
camera. The target is a map of dots: peak 255, sigma 0.75 px, background 0.

"Statistical Characteristic-Guided Denoising for Rapid High-Resolution Transmission Electron
Microscopy Imaging", CVPR 2026.
""",
)

_CONSTRAINTS: dict[str, list[Any]] = {
    "source": ["path", None],
    "subset": [str, None],
    "n_samples": [Interval(int, 1, None), None],
    "on_missing": [Options("raise", "skip")],
    "url": [str, None],
    "sha256": [str, None],
    "data_home": ["path", None],
    "download_if_missing": ["boolean"],
    "verbose": ["verbose"],
}
_LABELS = [str, Sequence(str)]


@check_arguments(labels=_LABELS, **_CONSTRAINTS)
def fetch_temimagenet(
    source: StrPath | None = None,
    *,
    labels: TEMImageNetLabel | collections.abc.Sequence[TEMImageNetLabel] = "noBackgroundnoNoise",
    subset: str | None = None,
    n_samples: int | None = None,
    dtype: DTypeLike = np.float32,
    on_missing: OnMissing = "raise",
    url: str | None = None,
    sha256: str | None = None,
    data_home: StrPath | None = None,
    download_if_missing: bool = True,
    verbose: int = 0,
) -> Bunch:
    """Load TEMImageNet v1.3, simulated STEM frames with clean images and masks.

    Its authors publish it as a git repository, https://github.com/xinhuolin/TEM-ImageNet-v1.3,
    without an archive that has a checksum. Clone it or save it as a zip, and give that as
    ``source``.

    Parameters
    ----------
    source : path, optional
        The folder that holds ``image``, ``noBackgroundnoNoise`` and so on, or one above it; or a
        zip or tar archive of it (also gz, bz2, xz), which is unpacked into ``data_home`` once.
    labels : str or sequence of str, default="noBackgroundnoNoise"
        Folders to load in addition to ``image``; the first is the target. Published are
        "noBackgroundnoNoise", "noNoise", "gaussianMask", "circularMask", "smallcircularMask",
        "noNoiseNoBackgroundSuperresolution", "noNoiseNoBackgroundUpinterpolation2x" and
        "noNoiseUpinterpolation2x".
    subset : str, optional
        Name of the folder to load if ``source`` holds several sets.
    n_samples : int, optional
        Number of frames to load, the first by name; all by default. All of one folder, about 14,000
        frames, take 3.8 GB as float32 and 0.9 GB as uint8.
    dtype : dtype, default=float32
        Type of the stacks. Values are not scaled: 8-bit images hold 0 to 255.
    on_missing : {"raise", "skip"}, default="raise"
        What to do if an image is missing from one of the folders that are loaded.
    url : str, optional
        Address of an archive to download, in place of ``source``. A download that fails is tried
        again from the start, three times.
    sha256 : str, optional
        SHA-256 of the archive; needed with ``url``, checked if it is given with ``source``.
    data_home : path, optional
        Where archives are unpacked to; the user's cache folder by default. A set that is there is
        used without the network.
    download_if_missing : bool, default=True
        If False, raise an OSError if the set is not in ``data_home``.
    verbose : int, default=0
        1 shows progress bars.

    Returns
    -------
    Bunch
        ``noisy`` (n, H, W); ``target`` (n, H, W), the first of the labels; ``labels``, a Bunch of
        all of them by name; ``filenames`` (list of str), ``folder`` (str) and ``DESCR``.

    Raises
    ------
    InvalidParameterError
        If an argument has a wrong type or value.
    ValueError
        If the set is incomplete or damaged.
    OSError
        If the set can't be found, downloaded or unpacked. No incomplete set is left in
        ``data_home``.

    See Also
    --------
    make_stem_lattice : Generate similar frames.

    References
    ----------
    R. Lin et al., "TEMImageNet training library and AtomSegNet deep-learning models for
    high-precision atom segmentation, localization, denoising, and deblurring of atomic-resolution
    images", Scientific Reports 11, 5386 (2021). https://doi.org/10.1038/s41598-021-84499-w

    Examples
    --------
    >>> from stemkit.datasets import fetch_temimagenet
    >>> data = fetch_temimagenet("TEM-ImageNet-v1.3", n_samples=100)  # doctest: +SKIP
    >>> data.noisy.shape, data.target.shape  # doctest: +SKIP
    ((100, 256, 256), (100, 256, 256))
    """
    cache = Cache(url, sha256, data_home, download_if_missing, verbose)
    return _load(_TEMIMAGENET, source, labels, subset, n_samples, dtype, on_missing, cache)


@check_arguments(labels=_LABELS, **_CONSTRAINTS)
def fetch_sfin(
    source: StrPath | None = None,
    *,
    labels: SFINLabel | collections.abc.Sequence[SFINLabel] = "gt_enhance",
    subset: str | None = None,
    n_samples: int | None = None,
    dtype: DTypeLike = np.float32,
    on_missing: OnMissing = "raise",
    url: str | None = None,
    sha256: str | None = None,
    data_home: StrPath | None = None,
    download_if_missing: bool = True,
    verbose: int = 0,
) -> Bunch:
    """Load the SFIN dataset, simulated STEM frames whose noise was calibrated on real ones.

    Its authors link to it from https://github.com/HeasonLee/SFIN, without a checksum: the archives
    ``haadf_data.zip`` and ``bf_data.zip`` for training, ``haadf_data_test.zip`` and
    ``bf_data_test.zip`` for testing. Download them there, and give one of them or the folder that
    they were unpacked to as ``source``.

    Parameters
    ----------
    source : path, optional
        The folder that holds ``noisy`` and ``gt_enhance``, or one above it; or an archive of it.
    labels : str or sequence of str, default="gt_enhance"
        Folders to load in addition to ``noisy``; the first is the target. Published are
        "gt_enhance", the clean image, and "gt_detect", a map of dots.
    subset : str, optional
        Name of the folder to load if ``source`` holds several parts, such as "haadf_data_test".
    n_samples, dtype, on_missing : int, dtype and str, optional
        What to load and how, as for :func:`fetch_temimagenet`.
    url, sha256, data_home, download_if_missing, verbose : optional
        Where to get it from and keep it, as for :func:`fetch_temimagenet`.

    Returns
    -------
    Bunch
        As for :func:`fetch_temimagenet`.

    Raises
    ------
    ValueError, OSError
        As for :func:`fetch_temimagenet`.

    See Also
    --------
    make_stem_lattice : Generate similar frames.

    References
    ----------
    H. Li, Z. Wu, R. Shao, T. Zhang and Y. Fu, "Noise Calibration and Spatial-Frequency Interactive
    Network for STEM Image Enhancement", CVPR 2025. https://arxiv.org/abs/2504.02555

    Examples
    --------
    >>> from stemkit.datasets import fetch_sfin
    >>> data = fetch_sfin("haadf_data_test.zip", labels=["gt_enhance", "gt_detect"])
    ... # doctest: +SKIP
    >>> data.noisy.shape, data.labels["gt_detect"].shape  # doctest: +SKIP
    """
    cache = Cache(url, sha256, data_home, download_if_missing, verbose)
    return _load(_SFIN, source, labels, subset, n_samples, dtype, on_missing, cache)


@check_arguments(**_CONSTRAINTS)
def fetch_nuc(
    source: StrPath | None = None,
    *,
    subset: str | None = None,
    n_samples: int | None = None,
    dtype: DTypeLike = np.float32,
    on_missing: OnMissing = "raise",
    url: str | None = None,
    sha256: str | None = None,
    data_home: StrPath | None = None,
    download_if_missing: bool = True,
    verbose: int = 0,
) -> Bunch:
    """Load NUC, simulated HRTEM frames of disordered atoms and maps of their positions.

    Its authors announce it at https://github.com/HeasonLee/SCGN. Get it from them, and give the
    folder or the archive as ``source``.

    Parameters
    ----------
    source : path, optional
        The folder that holds ``noisy`` and ``gt``, or one above it; or an archive of it.
    subset : str, optional
        Name of the folder to load if ``source`` holds several parts.
    n_samples, dtype, on_missing : int, dtype and str, optional
        What to load and how, as for :func:`fetch_temimagenet`.
    url, sha256, data_home, download_if_missing, verbose : optional
        Where to get it from and keep it, as for :func:`fetch_temimagenet`.

    Returns
    -------
    Bunch
        As for :func:`fetch_temimagenet`; the target is ``gt``, the map of dots.

    Raises
    ------
    ValueError, OSError
        As for :func:`fetch_temimagenet`.

    See Also
    --------
    make_nucleation : Generate similar frames.

    References
    ----------
    "Statistical Characteristic-Guided Denoising for Rapid High-Resolution Transmission Electron
    Microscopy Imaging", CVPR 2026, section 3.5.

    Examples
    --------
    >>> from stemkit.datasets import fetch_nuc
    >>> data = fetch_nuc("NUC", subset="test")  # doctest: +SKIP
    >>> data.target.max()  # doctest: +SKIP
    255.0
    """
    cache = Cache(url, sha256, data_home, download_if_missing, verbose)
    return _load(_NUC, source, "gt", subset, n_samples, dtype, on_missing, cache)


def _load(
    public: _PublicSet,
    source: StrPath | None,
    labels: str | collections.abc.Sequence[str],
    subset: str | None,
    n_samples: int | None,
    dtype: DTypeLike,
    on_missing: OnMissing,
    cache: Cache,
) -> Bunch:
    label_names = [labels] if isinstance(labels, str) else list(labels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of other spellings of dtypes
            is_real = np.dtype(dtype).kind in "biuf"
    except (TypeError, ValueError):
        is_real = False
    if not is_real:
        raise InvalidParameterError(f"dtype must be a NumPy dtype of real numbers; got {dtype!r}.")
    root = find_folder(public.name, source, cache, by_hand=public.by_hand)
    folders = [public.noisy, *label_names]
    parent = find_parent(root, folders, subset)
    filenames = paired_names(parent, folders, on_missing)[:n_samples]
    frames, *loaded = (
        read_images(parent / folder, filenames, dtype, verbose=cache.verbose) for folder in folders
    )
    return Bunch(
        noisy=frames,
        target=loaded[0],
        labels=Bunch(**dict(zip(label_names, loaded, strict=True))),
        filenames=filenames,
        folder=str(parent),
        DESCR=public.description,
    )
