"""Shuffles in the kernels against NumPy's own permutations: rows, state, and the draws after."""

import numpy as np
import pytest

from fastbp import BackpropRegressor, Network, Objective
from fastbp.machine.shuffle import shuffle
from fastbp.model.data import as_data
from fastbp.model.objective import NO_PATIENCE
from fastbp.model.shuffles import Generator, Shuffles
from fastbp.model.update_rules import Moments, sgd
from helpers.guards import NEEDS_A_COMPILER, assert_guards_untouched, compiled, guarded
from helpers.runs import epoch, epochs

LENGTHS = [1, 2, 3, 4, 5, 31, 32, 33, 100, 623, 624, 625, 1000, 5000, 70_000]


def _shuffle(generator, rows, draws):
    shuffle(generator, rows, draws)


RUN = compiled(_shuffle)


def _same_state(a, b):
    a, b = (random_state.get_state(legacy=False) for random_state in (a, b))
    np.testing.assert_array_equal(a["state"]["key"], b["state"]["key"])
    assert a["state"]["pos"] == b["state"]["pos"]
    assert (a["has_gauss"], a["gauss"]) == (b["has_gauss"], b["gauss"])


@NEEDS_A_COMPILER
@pytest.mark.parametrize("seed", [0, 1, 20240711])
@pytest.mark.parametrize("n", LENGTHS)
def test_shuffles_in_a_row_are_numpys_permutations(n, seed):
    state = np.random.RandomState(seed).get_state(legacy=False)["state"]
    generator = Generator(guarded(state["key"]), guarded(np.array([state["pos"]], np.int64)))
    numpys = np.random.RandomState(seed)
    rows, draws = guarded(np.arange(n) + 7), guarded(np.zeros(n + 1, np.int64))
    expected = rows.copy()
    for _ in range(3):
        RUN(generator, rows, draws)
        expected = expected[numpys.permutation(n)]
        np.testing.assert_array_equal(rows, expected)
    assert_guards_untouched(rows, draws, *generator)


@NEEDS_A_COMPILER
@pytest.mark.parametrize("n", LENGTHS)
def test_a_random_state_is_given_back_as_numpy_would_leave_it(n):
    lent, numpys = np.random.RandomState(3), np.random.RandomState(3)
    for random_state in (lent, numpys):
        random_state.uniform(size=100)
        random_state.standard_normal()  # of a pair: the other is kept for the next draw
    rows = np.arange(n)
    with Shuffles(lent) as shuffles:
        assert shuffles.are_compiled
        for _ in range(2):
            RUN(shuffles.generator, rows, np.empty(n + 1, np.int64))
    expected = np.arange(n)
    for _ in range(2):
        expected = expected[numpys.permutation(n)]
    np.testing.assert_array_equal(rows, expected)
    assert lent.get_state(legacy=False)["has_gauss"] == 1
    _same_state(lent, numpys)
    assert lent.standard_normal() == numpys.standard_normal()
    np.testing.assert_array_equal(lent.permutation(50), numpys.permutation(50))
    np.testing.assert_array_equal(lent.uniform(size=1000), numpys.uniform(size=1000))


@NEEDS_A_COMPILER
def test_compiled_shuffles_and_those_in_python_take_turns():
    lent, numpys = np.random.RandomState(5), np.random.RandomState(5)
    rows, expected = np.arange(1000), np.arange(1000)
    with Shuffles(lent) as shuffles:
        for i in range(4):
            if i % 2:
                shuffles.shuffle(rows)
            else:
                RUN(shuffles.generator, rows, np.empty(1001, np.int64))
            expected = expected[numpys.permutation(1000)]
            np.testing.assert_array_equal(rows, expected)
    _same_state(lent, numpys)


def test_the_state_is_given_back_after_an_error():
    lent, numpys = np.random.RandomState(5), np.random.RandomState(5)
    with pytest.raises(KeyboardInterrupt), Shuffles(lent) as shuffles:
        shuffles.shuffle(np.arange(10))
        raise KeyboardInterrupt
    numpys.permutation(10)
    _same_state(lent, numpys)


@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.PCG64, np.random.Philox])
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_shuffles_with_the_generator_it_is_given(generator, batch_size, problem):
    X, y = problem()
    own, ours = (np.random.RandomState(generator(0)) for _ in range(2))
    net = BackpropRegressor(
        "squared_error", (4,), "tanh", solver="sgd", momentum=0, batch_size=batch_size, max_iter=4,
        random_state=own,
    ).fit(X, y)  # fmt: skip
    network = Network((5, 4, 1), "tanh")
    parameters = network.initial_parameters(ours, np.float64)
    objective = Objective(network, as_data(X, y), net.alpha)
    moments = Moments.zeros(parameters.size, parameters.dtype)
    rows = np.arange(len(X))
    for _ in range(4):
        rows = rows[ours.permutation(len(X))]
        epoch(objective, parameters, rows, batch_size, sgd(0.001, 0, True), moments)
    for coef, expected in zip(net.coefs_, network.unpack(parameters)[0], strict=True):
        np.testing.assert_array_equal(coef, expected)
    np.testing.assert_array_equal(own.uniform(size=10), ours.uniform(size=10))


def test_a_generator_that_is_no_mersenne_twister_is_not_compiled():
    with Shuffles(np.random.RandomState(np.random.PCG64(0))) as shuffles:
        assert not shuffles.are_compiled
        rows = np.arange(100)
        shuffles.shuffle(rows)
    expected = np.random.RandomState(np.random.PCG64(0)).permutation(100)
    np.testing.assert_array_equal(rows, expected)


def test_without_a_random_state_nothing_is_shuffled(problem):
    X, y = problem()
    network = Network((5, 4, 1), "tanh")
    start = network.initial_parameters(np.random.RandomState(0), np.float64)
    objective = Objective(network, as_data(X, y))
    results = []
    with Shuffles(None) as shuffles:
        assert shuffles.are_compiled
        rows = np.arange(len(X))
        shuffles.shuffle(rows)
        p, moments = start.copy(), Moments.zeros(start.size, start.dtype)
        epochs(objective, p, rows, 1, sgd(0.01, 0, True), moments, shuffles, NO_PATIENCE, 1)
        np.testing.assert_array_equal(rows, np.arange(len(X)))
        results.append(p)
    p, moments = start.copy(), Moments.zeros(start.size, start.dtype)
    epoch(objective, p, np.arange(len(X)), 1, sgd(0.01, 0, True), moments)
    np.testing.assert_array_equal(results[0], p)
