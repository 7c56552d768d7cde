import pytest

from stemkit._units import nm_per_unit, pixel_size_in_nm, s_per_unit


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


@pytest.mark.parametrize(
    "unit, nm",
    [("n_m", 1), ("nanometer", 1), ("A", 0.1), ("ang", 0.1), ("m", 1e9), ("mm", 1e6), (None, None)],
)
def test_spellings_of_microscopes(unit, nm):
    assert nm_per_unit(unit) == nm


@pytest.mark.parametrize("unit, seconds", [("s", 1), ("ms", 1e-3), ("µs", 1e-6), ("nm", None)])
def test_units_of_time_in_s(unit, seconds):
    assert s_per_unit(unit) == seconds


@pytest.mark.parametrize(
    "y, x, expected",
    [
        (0.02, 0.02, 0.02),
        (0.02, 0.0201, 0.0201),
        (0.02, 0.03, (0.02, 0.03)),
        (0.0, 0.0, None),
        (0.02, None, None),
        (float("nan"), 0.02, None),
        (-0.02, -0.02, None),
    ],
)
def test_a_pixel_size_is_one_number_if_pixels_are_square(y, x, expected):
    assert pixel_size_in_nm(y, x) == expected
