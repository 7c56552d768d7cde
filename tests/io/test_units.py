import pytest

from stemkit.io._units import nm_per_unit


@pytest.mark.parametrize(
    "unit, nm",
    [
        ("nm", 1),
        ("NM", 1),
        (" nm ", 1),
        ("pm", 0.001),
        ("å", 0.1),
        ("Å", 0.1),
        ("\u212b", 0.1),  # the angstrom sign, which differs from the letter
        ("angstrom", 0.1),
        ("\u00b5m", 1000),
        ("\u03bcm", 1000),
        ("\\u00B5m", 1000),
        ("\\u00c5", 0.1),
        ("um", 1000),
        ("micron", 1000),
        ("Micron", 1000),
    ],
)
def test_units_of_length_in_nm(unit, nm):
    assert nm_per_unit(unit) == pytest.approx(nm, rel=1e-12)


@pytest.mark.parametrize("unit", ["", "pixel", "inch", "1/nm", "s"])
def test_other_units_are_none(unit):
    assert nm_per_unit(unit) is None
