"""Row jitter and flyback as estimators: effects of their parameters and defaults."""

import numpy as np
import pytest

from stemkit.noise import Flyback, RowJitter

RAMP = np.tile(np.arange(60.0), (1, 40, 1))


@pytest.mark.parametrize(
    "parameters, amplitude, decay",
    [({}, 1.0, 8.0), ({"amplitude": 3.0}, 3.0, 8.0), ({"decay": 4.0}, 1.0, 4.0)],
)
def test_flyback_displaces_the_start_of_a_row(parameters, amplitude, decay):
    # On a ramp the change of a value is its displacement in px, except at the left end.
    found = Flyback(**parameters).fit_transform(RAMP)[0, 0] - RAMP[0, 0]
    expected = amplitude * np.exp(-np.arange(60) / decay)
    np.testing.assert_allclose(found[1:50], expected[1:50], atol=0.02)


@pytest.mark.parametrize(
    "parameters, sigma, correlation",
    [({}, 0.3, 4.0), ({"sigma": 0.6}, 0.6, 4.0), ({"correlation": 0.0}, 0.3, 0.0)],
)
def test_rows_are_displaced_at_random_and_together(parameters, sigma, correlation):
    ramp = np.tile(np.arange(30.0), (1, 20_000, 1))
    shift = (RowJitter(**parameters, random_state=0).fit_transform(ramp) - ramp)[0, :, 15]
    # About 20,000 / (2 * 4 + 1) values are independent.
    assert shift.std() == pytest.approx(sigma, rel=0.05)
    for lag in (1, 3, 8):
        found = np.mean(shift[lag:] * shift[:-lag]) / shift.var()
        expected = np.exp(-lag / correlation) if correlation else 0.0
        assert found == pytest.approx(expected, abs=0.07)
