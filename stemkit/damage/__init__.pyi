from ._critical_dose import CriticalDose as CriticalDose
