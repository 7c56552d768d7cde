import numpy as np
import pytest

from stemkit.datasets import CrystalStream, _crystal_stream
from stemkit.datasets._crystal import NoAtomsInViewError
from stemkit.exceptions import InvalidParameterError
from stemkit.noise import CompositeDegradationNoise, GaussianNoise

NOISE = CompositeDegradationNoise(level=[1, 5])


def stream(**options):
    return CrystalStream(NOISE, **{"batch_size": 2, "shape": (48, 40), "random_state": 0} | options)


def test_a_batch_depends_only_on_seed_and_step():
    one, other = stream(), stream()
    later = one.batch(5)
    for batch, again in zip((one.batch(0), later), (other.batch(0), other.batch(5)), strict=True):
        for frames, same in zip(batch, again, strict=True):
            np.testing.assert_array_equal(frames, same)
    assert not np.array_equal(one.batch(0)[1], one.batch(1)[1])
    assert not np.array_equal(one.batch(0)[1], stream(random_state=1).batch(0)[1])
    first = next(iter(one))
    np.testing.assert_array_equal(first[0], one.batch(0)[0])


def test_a_smaller_batch_holds_the_first_frames_of_a_larger_one():
    small, large = stream(batch_size=1).batch(3), stream(batch_size=3).batch(3)
    for few, many in zip(small, large, strict=True):
        np.testing.assert_array_equal(few[0], many[0])


def test_noisy_frames_are_the_clean_ones_plus_noise():
    noise = GaussianNoise(sigma=3.0)
    noisy, clean = CrystalStream(noise, batch_size=12, shape=(64, 64), random_state=0).batch(0)
    assert noisy.shape == clean.shape == (12, 64, 64)
    assert noisy.dtype == clean.dtype == np.float32
    np.testing.assert_allclose(clean.max((1, 2)), 255, rtol=1e-5)
    assert clean.min() >= 0
    added = noisy - clean
    assert abs(added.std() - 3) < 0.1
    assert abs(added.mean()) < 0.1
    # All crystals differ.
    assert np.abs(np.corrcoef(clean.reshape(12, -1)) - np.eye(12)).max() < 0.9


@pytest.mark.parametrize(
    "options",
    [
        {"made_up": 0, "materials": ["graphene"]},
        {"made_up": 0, "materials": ["Si"], "zone_axes": [(1, 1, 0)]},
        {"made_up": 1, "materials": [], "zone_axes": []},
    ],
)
def test_materials_and_zone_axes_can_be_chosen(options):
    noisy, clean = stream(**options).batch(0)
    assert np.isfinite(noisy).all()
    assert clean.std() > 1


@pytest.mark.parametrize(
    "options, message",
    [
        ({"made_up": 1.5}, r"^made_up must be a finite number in \[0, 1\]; got 1.5"),
        ({"materials": []}, "^materials and zone_axes must not be empty"),
        ({"materials": "Si"}, "^materials must be"),
        ({"materials": [5]}, "^each of materials must be a path; got 5"),
        ({"zone_axes": [(1, 0)]}, "^each of zone_axes must be 3 items"),
        ({"batch_size": 0}, "^batch_size must be"),
        ({"shape": (3,)}, "^shape must be"),
        ({"random_state": "x"}, "^random_state must be"),
    ],
)
def test_invalid_parameters_are_named(options, message):
    with pytest.raises(InvalidParameterError, match=message):
        stream(**options)
    with pytest.raises(InvalidParameterError, match=r"^noise must be an object with degrade"):
        CrystalStream("HRTEM")


def test_invalid_steps_and_generators_are_named():
    with pytest.raises(InvalidParameterError, match=r"^step must be an int of at least 0; got -1"):
        stream().batch(-1)
    with pytest.raises(InvalidParameterError, match=r"^generator must be a Generator; got 0"):
        stream().make_batch(0)


def test_materials_are_checked_when_drawn():
    with pytest.raises(ValueError, match="'unobtainium' is neither a CIF file"):
        stream(materials=["unobtainium"], made_up=0).batch(0)


@pytest.mark.parametrize("side", [8, 32])
def test_frames_between_the_atoms_are_drawn_again(side):
    noise = CompositeDegradationNoise()
    stream = CrystalStream(noise, batch_size=1, shape=(side, side), random_state=0)
    for step in range(30):
        _, clean = stream.batch(step)
        assert clean.max() == pytest.approx(255)
        np.testing.assert_array_equal(stream.batch(step)[1], clean)


def test_frames_that_never_show_an_atom_are_an_error(monkeypatch):
    def empty(*_, **__):
        raise NoAtomsInViewError("no atoms are in view")

    monkeypatch.setattr(_crystal_stream, "make_crystal_images", empty)
    stream = CrystalStream(CompositeDegradationNoise(), batch_size=1, shape=(8, 8), random_state=0)
    with pytest.raises(ValueError, match="no atoms are in view"):
        stream.batch(0)
