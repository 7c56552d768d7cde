"""scikit-learn's own checks, on every public estimator.

scikit-learn gives 2-D X, samples of features, which is a stack of one-line frames here. What only
frames can show is in test_common_frames.
"""

import pytest
import sklearn
from packaging.version import Version
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from stemkit import AtomLocator, DriftDecayModel

from .small_estimators import EXPECTED_FAILURES, all_small_instances, small_instances

# Random numbers hold no drift, and the model says so.
pytestmark = pytest.mark.filterwarnings("ignore::stemkit.exceptions.LowConfidenceWarning")


@parametrize_with_checks(
    all_small_instances(),
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES.get(type(estimator), {}),
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


class Aligner(DriftDecayModel):
    """The model without the method that only takes pairs."""

    @property
    def predict(self):
        raise AttributeError("predict takes pairs")


def excused_checks():
    (model,) = small_instances(DriftDecayModel)
    return [
        (estimator, check)
        for estimator, check in estimator_checks_generator(Aligner(**model.get_params()))
        if check.func.__name__ in EXPECTED_FAILURES[DriftDecayModel]
    ]


@pytest.mark.parametrize("estimator, check", excused_checks())
def test_expected_failures_of_predict_apply_to_the_other_methods(estimator, check):
    check(estimator)


@pytest.mark.parametrize("cls", EXPECTED_FAILURES)
def test_every_expected_failure_still_fails(cls):
    checks = {
        check.func.__name__
        for estimator in small_instances(cls)
        for _, check in estimator_checks_generator(estimator)
    }
    excused = set(EXPECTED_FAILURES[cls])
    if Version(sklearn.__version__) < Version("1.9"):
        excused.discard("check_array_api_input")  # scikit-learn 1.9 was the first to run it
    assert excused <= checks


def test_nothing_is_skipped():
    """Nor does a tag turn off what makes up the contract."""
    for estimator in all_small_instances():
        names = [check.func.__name__ for _, check in estimator_checks_generator(estimator)]
        least = 41 if isinstance(estimator, AtomLocator) else 46
        assert len(names) >= least, estimator
