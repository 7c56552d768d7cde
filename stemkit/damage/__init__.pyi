from ._bands import BandCriticalDose as BandCriticalDose
from ._bands import BandDecay as BandDecay
from ._bands import decay_bands as decay_bands
from ._critical_dose import CriticalDose as CriticalDose
from ._critical_dose import fit_critical_dose as fit_critical_dose
from ._normalization import normalize_pair as normalize_pair
from ._prediction import mean_over_specimen as mean_over_specimen
from ._synthetic_pairs import synthetic_batch as synthetic_batch
