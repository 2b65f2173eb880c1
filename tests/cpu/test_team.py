"""Mini-batches by a team of threads: the bits of one thread, whoever comes, and nobody waits."""

import threading

import numpy as np
import pytest
from numba import config
from scipy import sparse

from fastbp import Network, Objective
from fastbp.backends.cpu import epochs, load_kernels, team
from fastbp.backends.cpu.kernels import shares
from fastbp.model.data import as_data
from fastbp.model.losses import LOSSES
from fastbp.model.objective import NO_PATIENCE, EpochPlan, Patience
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments
from helpers.cases import RULES, make_case, own_numbers
from helpers.guards import DTYPES, NEEDS_A_COMPILER, TOO_SLOW_IN_PYTHON

MEMBERS = [2, 3, 5]


@pytest.fixture(autouse=True)
def can_wait():
    if not load_kernels().can_wait():
        pytest.skip("the system has no sched_yield")


@pytest.fixture
def train(monkeypatch):
    """A function that makes some epochs, by a team of any size however small the batches."""

    def train(n_members, network, case, batch_size, rule="adam", alpha=0.1, n_epochs=3):
        monkeypatch.setattr(epochs, "n_members_for", lambda *_: n_members)
        parameters, X, y, weights = case
        rule, dtype = RULES[rule], X.dtype
        moments = Moments.zeros(parameters.size, dtype)
        objective = Objective(network, as_data(X, y, weights), alpha)
        losses = np.empty(0)
        with Shuffles(np.random.RandomState(0)) as shuffles:
            run = objective.run(parameters.astype(dtype), batch_size, rule, moments, shuffles)
            while len(losses) < n_epochs:
                plan = EpochPlan(rule, NO_PATIENCE, n_epochs - len(losses))
                losses = np.append(losses, run.epochs(plan))
        return [losses, run.parameters, moments.first, moments.second, run.gradient(parameters)]

    return train


def _case(network, n_rows, dtype, rng, weighted=False):
    parameters, X, y, weights = make_case(network, n_rows, rng, weighted)
    if weighted:
        weights[3:9] = 0
        weights = weights.astype(dtype)
    parameters /= max(network.layer_sizes) ** 0.5
    return parameters.astype(dtype), X.astype(dtype), y.astype(dtype), weights


def _assert_same(got, expected):
    for array, other in zip(got, expected, strict=True):
        if config.DISABLE_JIT:  # products are NumPy's then
            tolerance = 1e-9 if expected[-1].dtype == np.float64 else 1e-3
            np.testing.assert_allclose(array, other, tolerance, tolerance)
        else:
            np.testing.assert_array_equal(array, other)


@TOO_SLOW_IN_PYTHON
@pytest.mark.parametrize("sizes", [(4, 2), (4, 9, 2), (3, 17, 33, 1), (70, 40, 20, 30, 3)], ids=str)
@pytest.mark.parametrize("rule", RULES)
@DTYPES
def test_any_number_of_threads_gives_the_bits_of_one(sizes, rule, dtype, train, rng):
    network = Network(sizes, "logistic" if len(sizes) == 4 else "relu")
    case = _case(network, 150, dtype, rng, weighted=rule == "momentum")
    for batch_size, alpha in ((2, 0.0), (60, 0.1), (150, 0.1)):
        expected = train(1, network, case, batch_size, rule, alpha)
        assert np.isfinite(expected[0]).all()
        for n_members in MEMBERS:
            _assert_same(train(n_members, network, case, batch_size, rule, alpha), expected)


@TOO_SLOW_IN_PYTHON
@pytest.mark.parametrize("loss", LOSSES)
@DTYPES
def test_the_same_bits_for_every_loss(loss, dtype, train, rng):
    network = Network((5, 20, 4), "tanh", loss, None, own_numbers(loss))
    case = _case(network, 101, dtype, rng, weighted=True)
    case = (0.1 * case[0], *case[1:])
    expected = train(1, network, case, 45, "plain")
    for n_members in MEMBERS:
        _assert_same(train(n_members, network, case, 45, "plain"), expected)


@DTYPES
def test_the_same_bits_for_sparse_rows(dtype, train, rng):
    network = Network((30, 20, 2), "tanh")
    parameters, X, y, weights = _case(network, 101, dtype, rng)
    X[rng.random(X.shape) < 0.8] = 0
    for case in ((parameters, X, y, weights), (parameters, sparse.csr_array(X), y, weights)):
        expected = train(1, network, case, 45, "plain")
        for n_members in MEMBERS:
            _assert_same(train(n_members, network, case, 45, "plain"), expected)


@TOO_SLOW_IN_PYTHON
@pytest.mark.parametrize("batch_size", [20, 128, 300, 1000])
@DTYPES
def test_the_same_bits_where_blocks_are_cut_and_batches_come_in_chunks(
    batch_size, dtype, train, rng, monkeypatch
):
    monkeypatch.setattr(shares, "_STORE_BYTES", 1)
    network = Network((60, 250, 120, 3), "tanh")
    case = _case(network, 1000, dtype, rng)
    expected = train(1, network, case, batch_size, n_epochs=1)
    for n_members in MEMBERS:
        _assert_same(train(n_members, network, case, batch_size, n_epochs=1), expected)


@TOO_SLOW_IN_PYTHON
def test_patience_ends_a_team_as_it_ends_one_thread(rng, monkeypatch):
    network, rule = Network((4, 9, 2), "tanh"), RULES["adam"]
    parameters, X, y, _ = _case(network, 150, np.float64, rng)
    results = []
    for n_members in (1, 3):
        monkeypatch.setattr(epochs, "n_members_for", lambda *_, n=n_members: n)
        moments = Moments.zeros(parameters.size, X.dtype)
        with Shuffles(np.random.RandomState(0)) as shuffles:
            objective = Objective(network, as_data(X, y))
            run = objective.run(parameters, 50, rule, moments, shuffles)
            results.append(run.epochs(EpochPlan(rule, Patience(np.inf, 0, 1e-3, 3), 1000)))
    assert 4 < len(results[0]) < 1000
    np.testing.assert_array_equal(*results)


@NEEDS_A_COMPILER
def test_helpers_do_a_part_of_the_work(monkeypatch, rng):
    monkeypatch.setattr(epochs, "n_members_for", lambda *_: 2)
    monkeypatch.setattr(team, "_MAX_RESTS", 0)
    network = Network((20, 60, 60, 1), "relu")
    parameters, X, y, _ = _case(network, 5000, np.float64, rng)
    moments = Moments.zeros(parameters.size, X.dtype)
    shuffles = Shuffles(np.random.RandomState(0))
    run = Objective(network, as_data(X, y)).run(parameters, 500, RULES["plain"], moments, shuffles)
    tally = run._run.__self__._team.tally
    for _ in range(200):  # on a busy machine a helper may come too late
        run.epochs(EpochPlan(RULES["plain"], NO_PATIENCE, 1))
        if tally[shares.OTHERS] > 0:
            break
    assert 0 < tally[shares.OTHERS] < tally[shares.ITEMS]


@pytest.mark.parametrize("late", ["never", "error"])
def test_the_leader_needs_no_helper(late, train, rng, monkeypatch):
    network = Network((4, 9, 2), "tanh")
    case = _case(network, 150, np.float64, rng)
    expected = train(1, network, case, 60)
    train(2, network, case, 60)  # compiles
    kernels = load_kernels()
    ordinary = kernels.team_epochs

    def only_the_leader(member, *arguments):
        if member > 0:
            if late == "error":
                raise MemoryError("no memory for a helper")
            return None
        return ordinary(member, *arguments)

    monkeypatch.setattr(kernels, "team_epochs", only_the_leader)
    if late == "never":
        _assert_same(train(3, network, case, 60), expected)
    else:
        with pytest.raises(MemoryError, match="for a helper"):
            train(3, network, case, 60)


def test_helpers_leave_when_the_leader_fails(train, rng, monkeypatch):
    network = Network((4, 9, 2), "tanh")
    case = _case(network, 150, np.float64, rng)
    train(2, network, case, 60)
    kernels, begun = load_kernels(), threading.Event()
    ordinary = kernels.team_epochs

    def only_helpers(member, *arguments):
        if member == 0:
            begun.wait(10)
            raise KeyboardInterrupt
        begun.set()
        return ordinary(member, *arguments)

    monkeypatch.setattr(kernels, "team_epochs", only_helpers)
    with pytest.raises(KeyboardInterrupt):
        train(3, network, case, 60)


def test_a_team_is_as_large_as_the_batch_is_worth(rng, monkeypatch):
    monkeypatch.setattr(team, "_n_cores", lambda: 6)

    def n_members(hidden, batch_size, n_threads, n_rows=1000):
        network = Network((8, hidden, 1), "tanh")
        _, X, y, _ = _case(network, n_rows, np.float64, rng)
        full_pass = Objective(network, as_data(X, y), 0.0, n_threads)._full_pass
        return team.n_members_for(full_pass, batch_size)

    assert n_members(1000, 200, 1) == n_members(1000, 1, 8) == 1
    assert n_members(1000, 400, 4) == n_members(1000, 10**9, 4) == 4
    assert n_members(1000, 10**9, 16) == 6
    assert n_members(1000, 200, 16) == 3
    assert n_members(4, 16, 4) == n_members(100, 10**9, 4, n_rows=10) == 1


@pytest.mark.parametrize("sizes", [(3, 1), (784, 10), (8, 64, 64, 1), (1, 300, 2)], ids=str)
@pytest.mark.parametrize("n_members", [2, 3, 16])
@DTYPES
def test_stripes_are_all_units_once_and_shares_all_stripes(sizes, n_members, dtype, rng):
    network = Network(sizes, "tanh")
    _, X, y, _ = _case(network, 50, dtype, rng)
    full_pass = Objective(network, as_data(X, y))._full_pass
    layout = full_pass.layout
    shared = load_kernels().make_team(layout, full_pass.workspace, 50, n_members)
    assert shared.shares[0] == 0
    assert (np.diff(shared.shares) >= 0).all()
    assert 3 * shared.shares[-1] == len(shared.stripes)
    units = [set() for _ in sizes[1:]]
    lanes = 64 // np.dtype(dtype).itemsize
    for layer, begin, end in shared.stripes.reshape(-1, 3):
        assert begin % lanes == 0
        assert begin < sizes[layer + 1]
        assert units[layer].isdisjoint(range(begin, end))
        units[layer].update(range(begin, end))
    assert [len(these) for these in units] == layout.padded[1:].tolist()
