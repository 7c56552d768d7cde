import numpy as np
import pytest

from stemkit._random import check_generator, check_seed, sample_generator


def draws(generator):
    return generator.integers(2**63, size=4).tolist()


def test_an_int_gives_the_same_draws_again():
    assert draws(check_generator(7)) == draws(check_generator(np.int64(7)))
    assert draws(check_generator(7)) != draws(check_generator(8))


def test_none_is_fresh():
    assert draws(check_generator(None)) != draws(check_generator(None))
    assert check_seed(None) != check_seed(None)


def test_a_generator_is_returned_as_it_is():
    generator = np.random.default_rng(0)
    assert check_generator(generator) is generator


def test_a_random_state_gives_a_new_seed_each_time():
    first, again = np.random.RandomState(3), np.random.RandomState(3)
    assert draws(check_generator(first)) == draws(check_generator(again))
    assert draws(check_generator(first)) != draws(check_generator(np.random.RandomState(3)))


@pytest.mark.parametrize("random_state", [0, 12, np.uint8(200), 2**40])
def test_an_int_is_its_own_seed(random_state):
    assert check_seed(random_state) == random_state
    assert type(check_seed(random_state)) is int


def test_a_seed_drawn_from_a_generator_is_reproducible():
    assert check_seed(np.random.default_rng(1)) == check_seed(np.random.default_rng(1))
    generator = np.random.default_rng(1)
    assert check_seed(generator) != check_seed(generator)


@pytest.mark.parametrize("check", [check_generator, check_seed])
@pytest.mark.parametrize("random_state", [-1, 0.5, "0", [1]])
def test_invalid_random_states_are_errors(check, random_state):
    with pytest.raises(ValueError, match=r"^random_state must"):
        check(random_state)


def test_samples_differ_by_seed_and_by_every_index():
    seen = {
        tuple(draws(sample_generator(seed, i, j)))
        for seed in (0, 1, 2)
        for i in range(6)
        for j in range(6)
    }
    assert len(seen) == 3 * 6 * 6
    assert draws(sample_generator(5, 2, 3)) == draws(sample_generator(5, 2, 3))


def test_no_sample_has_the_stream_of_its_seed_or_of_a_shorter_index():
    streams = [
        np.random.default_rng(5),
        sample_generator(5, 0),
        sample_generator(5, 0, 0),
        np.random.default_rng([5, 0, 1]),
        sample_generator(5, 0, 1),
    ]
    assert len({tuple(draws(stream)) for stream in streams}) == len(streams)


def test_samples_of_neighbouring_indices_are_independent():
    values = np.array([sample_generator(0, i).standard_normal(4000) for i in range(12)])
    correlation = np.corrcoef(values)[np.triu_indices(12, 1)]
    # The largest of 66 coefficients exceeds 5 standard deviations, 1 / sqrt(4000), once in 26,000.
    assert np.abs(correlation).max() < 5 / np.sqrt(4000)


def test_global_state_is_not_changed():
    before = np.random.get_state()[1].copy()
    check_generator(None).random()
    check_generator(3).random()
    check_seed(None)
    sample_generator(3, 4).random()
    np.testing.assert_array_equal(np.random.get_state()[1], before)
