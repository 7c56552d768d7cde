"""Tests of representations of results."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from stemkit import DriftDecayModel
from stemkit._repr import short_repr
from stemkit.damage import fit_critical_dose
from stemkit.exceptions import LowConfidenceWarning


@dataclass
class Data:
    value: Any
    name: str = "a"


class Named(NamedTuple):
    value: Any
    name: str = "a"


@pytest.mark.parametrize("kind", [Data, Named])
@pytest.mark.parametrize(
    "value, shown",
    [
        (np.zeros((50, 60), "float32"), "<float32 of shape (50, 60)>"),
        (np.array([1.25, -3.0]), "[ 1.25, -3.  ]"),
        (pd.DataFrame({"x": range(9)}), "<DataFrame of 9 rows>"),
        ((1, 2, 3), "<3 items>"),
        (1 / 3, "0.3333"),
        (np.float32(0.5), "0.5"),
        ("text", "'text'"),
        (None, "None"),
    ],
)
def test_large_values_are_shown_by_their_size(kind, value, shown):
    assert short_repr(kind(value)) == f"{kind.__name__}(value={shown}, name='a')"


def test_results_fit_into_a_few_lines():
    frames = np.random.default_rng(0).normal(100, 10, (3, 48, 48))
    model = DriftDecayModel(max_epochs=0, motion="translation")
    decay = np.exp(-np.arange(3.0))[:, None, None] * np.ones((3, 40, 40))
    with pytest.warns(LowConfidenceWarning):
        results = [model.predict(frames[:2]), model.fit(frames).analyze(frames)]
    results += [fit_critical_dose(decay, [0, 1, 2])]
    for result in results:
        text = repr(result)
        assert text.startswith(type(result).__name__)
        assert len(text) < 600
        assert "\n" not in text
