"""Metrics by name, as scorers for a grid search or a cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike

from .._constraints import Function, check_arguments, shorten
from ..exceptions import InvalidParameterError
from ._atom_f1 import atom_f1
from ._blind_spot_scorer import BlindSpotScorer
from ._edges import epi
from ._image import atom_iou, psnr, ssim
from ._spectral import fsc
from ._split_scorer import SplitScorer

Scorer = Callable[..., float]


def epi_closeness(
    y_true: ArrayLike, y_pred: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> float:
    """Return minus the distance of the edge preservation index from 1.

    The index itself can't be a score: noise, with an index of 10 and more, would be the best.
    """
    return -abs(float(epi(y_true, y_pred, sample_weight=sample_weight)) - 1.0)


# To add a scorer, add a line here: its name, the metric (y_true, y_pred) with greater values for
# better frames, and the options that it is registered with.
_AS_PAPERS = {"data_range": 255.0, "quantize": True}
_METRICS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "atom_f1": (atom_f1, {"tolerance": 2.0, "data_range": 255.0}),
    "atom_iou": (atom_iou, _AS_PAPERS),
    "epi": (epi_closeness, {}),
    "fsc": (fsc, {"remove_mean": True}),
    "psnr": (psnr, _AS_PAPERS),
    "ssim": (ssim, _AS_PAPERS),
}
_WITHOUT_TRUTH: dict[str, Callable[..., Scorer]] = {
    "blind_spot": BlindSpotScorer,
    "split": SplitScorer,
}


@check_arguments(scoring=[str, callable])
def get_scorer(scoring: str | Scorer, **options: Any) -> Scorer:
    """Get a scorer for `GridSearchCV`, `cross_validate` and the like; greater is better.

    Parameters
    ----------
    scoring : str or callable
        - "psnr", "ssim", "atom_iou": :func:`psnr`, :func:`ssim` and :func:`atom_iou` with
          ``data_range=255``, truncated to whole numbers, as in the papers. For frames on another
          scale pass options: ``get_scorer("psnr", data_range=1.0, quantize=False)``.
        - "fsc": :func:`fsc`, the cosine of the magnitude spectra.
        - "epi": minus the distance of the mean :func:`epi` from 1, its best value.
        - "atom_f1": :func:`atom_f1` of a denoiser's dots or a locator's table.
        - "blind_spot", "split": :class:`BlindSpotScorer` and :class:`SplitScorer`, which need no
          true frames.

        A callable is returned as it is, as in scikit-learn.
    **options : dict
        Parameters of the metric, such as ``data_range``, in place of the defaults above.

    Returns
    -------
    callable
        ``scorer(estimator, X, y)`` returns a float. It can be copied, cloned and pickled, and its
        repr shows the data range.

    Raises
    ------
    ValueError
        If there is no such name, a callable does not take an estimator, X and y, or options are
        passed with one.

    See Also
    --------
    get_scorer_names : All names.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from stemkit.datasets import make_crystal_images
    >>> from stemkit.denoise import GaussianDenoiser
    >>> from stemkit.metrics import get_scorer
    >>> from stemkit.noise import PoissonGaussianNoise
    >>> clean = make_crystal_images("SrTiO3", 4, shape=(64, 64), random_state=0).frames
    >>> noisy = PoissonGaussianNoise(gain=20.0, random_state=0).fit_transform(clean)
    >>> search = GridSearchCV(
    ...     GaussianDenoiser(), {"sigma": [0.1, 1.0, 5.0]}, scoring=get_scorer("psnr"), cv=2
    ... )
    >>> search.fit(noisy, clean).best_params_
    {'sigma': 1.0}
    """
    if not isinstance(scoring, str):
        if options:
            raise InvalidParameterError(
                "scoring is a scorer already, so options have no use; leave them out."
            )
        if not Function("estimator", "X", "y").accepts(scoring):
            raise InvalidParameterError(
                f"scoring must take an estimator, X and y; got {shorten(scoring)}."
            )
        return scoring
    if scoring in _WITHOUT_TRUTH:
        return _WITHOUT_TRUTH[scoring](**options)
    if scoring not in _METRICS:
        raise InvalidParameterError(
            f"{scoring!r} is not a valid scoring value. "
            f"Use stemkit.metrics.get_scorer_names() to get valid options."
        )
    # Imported here, because it takes long and metrics alone do not need it.
    from sklearn.metrics import make_scorer

    metric, registered = _METRICS[scoring]
    return make_scorer(metric, **{**registered, **options})


def get_scorer_names() -> list[str]:
    """Get the names of all scorers, sorted.

    Returns
    -------
    list of str
        Names for :func:`get_scorer`.

    Examples
    --------
    >>> from stemkit.metrics import get_scorer_names
    >>> get_scorer_names()
    ['atom_f1', 'atom_iou', 'blind_spot', 'epi', 'fsc', 'psnr', 'split', 'ssim']
    """
    return sorted([*_METRICS, *_WITHOUT_TRUTH])
