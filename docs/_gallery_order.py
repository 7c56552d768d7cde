"""Order of the examples in the gallery. It is a module because Sphinx pickles the function."""

import os

_FIRST = (
    "plot_drift_and_damage.py",
    "plot_average.py",
    "plot_critical_dose.py",
    "plot_critical_dose_by_band.py",
    "plot_denoise_nucleation.py",
    "plot_locate_atoms.py",
    "plot_composite_noise.py",
    "plot_noise_calibration.py",
    "plot_noise_law.py",
    "plot_uniform_noise.py",
    "plot_pick_denoiser_without_truth.py",
    "plot_what_scores_cannot_see.py",
    "plot_learn_from_two_exposures.py",
    "plot_grid_search_pipeline.py",
    "plot_custom_network.py",
    "plot_nucleation.py",
    "plot_growing_grain.py",
    "plot_crystals.py",
    "plot_crystal_defects.py",
    "plot_stem_noise.py",
    "plot_afterglow.py",
)


def reading_order(path: str | os.PathLike[str]) -> tuple[int, str]:
    """Return a sort key: the most requested examples first, then the others by name."""
    name = os.path.basename(path)
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST)), name
