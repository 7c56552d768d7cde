"""scikit-learn's checks, on every public estimator.

scikit-learn passes 2-D X, samples of features, which is a stack of one-line frames here. Checks on
frames are in test_common_frames.
"""

import pytest
import sklearn
from packaging.version import Version
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from stemkit import AtomLocator, DriftDecayModel

from .small_estimators import EXPECTED_FAILURES, all_small_instances, small_instances

# Random numbers determine no drift, and the model warns.
pytestmark = pytest.mark.filterwarnings("ignore::stemkit.exceptions.LowConfidenceWarning")


@parametrize_with_checks(
    all_small_instances(),
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES.get(type(estimator), {}),
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


class Aligner(DriftDecayModel):
    """The model without `predict`, which only accepts pairs."""

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
        excused.discard("check_array_api_input")  # new in scikit-learn 1.9
    assert excused <= checks


def test_nothing_is_skipped():
    """No tag disables checks of the contract."""
    for estimator in all_small_instances():
        names = [check.func.__name__ for _, check in estimator_checks_generator(estimator)]
        least = 41 if isinstance(estimator, AtomLocator) else 46
        assert len(names) >= least, estimator
