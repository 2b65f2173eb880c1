"""What the tests of the GPU share: networks trained on both sides, and guards in its memory.

Each test file skips itself, before it imports this, where there is neither a GPU nor the simulator.
"""

import sys
from contextlib import ExitStack
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.fleet import Fleet
from fastbp.backends.gpu.kernels import online_kernel
from fastbp.machine import gpu
from fastbp.model.data import Data, as_data
from fastbp.model.fleet import FleetMember
from fastbp.model.objective import NO_PATIENCE, EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments
from helpers import oracle
from helpers.cases import make_case

if gpu.SIMULATED:
    # The simulator waits for its threads in a loop, so each barrier takes until the interpreter
    # switches threads: 5 ms by default, ten times what the kernels themselves take.
    sys.setswitchinterval(1e-5)

    from numba.cuda.simulator import kernelapi

    _one_at_a_time = Lock()

    def _shared_array(shared, shape, dtype, alignment=None):
        """Give all threads the same array, full of NaNs at first.

        The simulator's own method looks for an array and then makes it, without a lock, and fills
        it with zeros where a GPU's shared memory has anything.
        """
        dtype, frame = np.dtype(dtype), sys._getframe(1)
        size = shared._dynshared_size // dtype.itemsize if shape == 0 else shape
        place = shape, frame.f_code.co_filename, frame.f_lineno
        with _one_at_a_time:
            if place not in shared._allocations:
                shared._allocations[place] = np.full(size, np.nan, dtype)
        return shared._allocations[place]

    kernelapi.FakeCUDAShared.array = _shared_array

#: In the simulator NumPy warns where numbers overflow; a GPU and the CPU's kernels do not.
NUMPY_MAY_WARN = pytest.mark.filterwarnings(
    "ignore:(overflow|underflow|invalid value|divide by zero) encountered:RuntimeWarning"
)
_GUARD = 64  # numbers; so what lies between guards is aligned for loads of four


class Case(NamedTuple):
    """A network to be trained, on whichever side."""

    network: Network
    data: Data
    parameters: Any
    alpha: float = 0.2
    batch_size: int = 1
    seed: Any = 0  # of the shuffles: a number, a bit generator's maker, or None for no shuffles

    def random_state(self):
        """Make the generator of the shuffles, new each time."""
        if self.seed is None:
            return None
        return np.random.RandomState(self.seed() if callable(self.seed) else self.seed)


class Outcome(NamedTuple):
    """What a training leaves behind."""

    losses: list
    parameters: Any
    first: Any
    second: Any
    n_steps: int
    next_draw: int


def data_of(network, n_samples, rng, dtype=np.float64, weighted=True):
    """Parameters and data of a network."""
    parameters, X, y, weights = make_case(network, n_samples, rng, weighted)
    return parameters.astype(dtype), as_data(X, y, weights, dtype)


def trainable(network, n_samples, rng, dtype=np.float64, weighted=True, zeros=(), **more):
    """Make a case to be trained from small parameters; some rows may have a weight of 0."""
    parameters, data = data_of(network, n_samples, rng, dtype, weighted)
    if zeros:
        weights = data.weights.copy()
        weights[list(zeros)] = 0
        data = as_data(data.X, data.y, weights, dtype)
    return Case(network, data, (0.5 * parameters).astype(dtype), **more)


def keep_weights_in_device_memory(monkeypatch):
    monkeypatch.setattr(
        "fastbp.backends.gpu.launches.online_kernel",
        lambda rule, _, own: online_kernel(rule, False, own),
    )


def take_tiles_of(n_rows, monkeypatch):
    monkeypatch.setattr("fastbp.backends.gpu.tiling._TILE_ROWS", (n_rows,))


def many_cases(batch_sizes, rng, dtype=np.float64):
    """Networks that differ in everything that they may, on two folds of one table."""
    n_in, n_out, n = 3, 2, 15
    X = rng.standard_normal((n, n_in))
    y = np.round(np.exp(rng.standard_normal((n, n_out))))
    weights = rng.uniform(0, 3, n)
    weights[[1, 7]] = 0
    folds = [
        as_data(X[:11], y[:11], weights[:11], dtype),
        as_data(X[4:], y[4:], None, dtype),
    ]
    networks = [
        Network((n_in, 4, n_out), "tanh"),
        Network((n_in, n_out), "identity", "poisson"),
        Network((n_in, 3, 9, 4, n_out), "softplus"),
        Network((n_in, 12, 2, n_out), "relu", "poisson", "softplus"),
        Network((n_in, 5, n_out), "sin", output_activation="logistic"),
    ]
    return [
        Case(
            network,
            folds[i % 2],
            (0.4 * rng.standard_normal(network.n_parameters)).astype(dtype),
            alpha=0.1 * i,
            batch_size=batch_sizes[i % len(batch_sizes)],
            seed=[0, 3, 0, None, 7][i],
        )
        for i, network in enumerate(networks)
    ]


def plans_of(rule, *n_epochs, patience=NO_PATIENCE):
    """Make plans of so many epochs, one after another."""
    return [EpochPlan(rule, patience, n) for n in n_epochs]


def on_the_gpu(cases, launches):
    """Train cases in one fleet; ``launches`` are dicts from a case's number to its plan."""
    tables = list({id(case.data): case.data for case in cases}.values())
    places = {id(table): place for place, table in enumerate(tables)}
    states = [case.random_state() for case in cases]
    losses = [[] for _ in cases]
    with ExitStack() as stack:
        members = [
            FleetMember(
                case.network,
                places[id(case.data)],
                case.alpha,
                case.batch_size,
                case.parameters.copy(),
                Moments.zeros(case.parameters.size, case.parameters.dtype),
                stack.enter_context(Shuffles(state)),
            )
            for case, state in zip(cases, states, strict=True)
        ]
        rule = next(iter(launches[0].values())).rule
        fleet = Fleet(members, DeviceTables(tables), rule.record)
        for launch in launches:
            for i, of_one in fleet.epochs(launch).items():
                losses[i] += of_one.tolist()
    return [
        _outcome(losses[i], fleet.parameters(i), fleet.moments(i), states[i])
        for i in range(len(cases))
    ]


def on_the_cpu(case, plans):
    """Train a case alone by the CPU's kernels."""
    objective = Objective(case.network, case.data, case.alpha)
    moments = Moments.zeros(case.parameters.size, case.parameters.dtype)
    losses, state = [], case.random_state()
    with Shuffles(state) as shuffles:
        run = objective.run(case.parameters, case.batch_size, plans[0].rule, moments, shuffles)
        for plan in plans:
            losses += run.epochs(plan).tolist()
    return _outcome(losses, run.parameters, run.moments, state)


def by_the_oracle(case, rule, n_epochs):
    """Train a case by the textbook, in float64."""
    network, data = case.network, case.data
    expected = case.parameters.astype(np.float64)
    coefs, intercepts = network.unpack(expected)
    X, y, weights = (np.asarray(a, np.float64) for a in (data.X, data.y, data.weights))
    optimiser = oracle.Optimiser(rule.record.name, rule.learning_rate, rule.beta_1 or 0.9)
    losses, rows, state = [], np.arange(data.n_samples), case.random_state()
    for _ in range(n_epochs):
        if state is not None:
            rows = rows[state.permutation(len(rows))]
        loss = oracle.epoch(
            coefs, intercepts, X, y, weights if len(weights) else None, case.alpha,
            network.activation, network.last_activation, network.loss, rows, case.batch_size,
            optimiser, network.loss_parameter_of_outputs,
        )  # fmt: skip
        losses.append(loss)
    return losses, expected


def _outcome(losses, parameters, moments, state):
    next_draw = -1 if state is None else state.randint(2**31)
    return Outcome(losses, parameters, moments.first, moments.second, moments.n_steps, next_draw)


def assert_close(actual, expected, tolerance):
    """Check an array against another, relative to the largest entry."""
    assert np.shape(actual) == np.shape(expected)
    largest = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * largest)


def assert_same_outcome(outcome, expected, tolerance=1e-10):
    """Check what a training on the GPU leaves behind against the CPU's."""
    assert len(outcome.losses) == len(expected.losses)
    assert outcome.losses == pytest.approx(expected.losses, rel=tolerance)
    assert outcome.parameters.dtype == outcome.first.dtype == expected.parameters.dtype
    for name in ("parameters", "first", "second"):
        assert_close(getattr(outcome, name), getattr(expected, name), tolerance)
    assert outcome.n_steps == expected.n_steps
    assert outcome.next_draw == expected.next_draw


def assert_same_training(case, rule, n_epochs=(2, 1), tolerance=1e-10, others=(), by_oracle=True):
    """Train a case on the GPU, with others beside it, and compare with the CPU and the oracle.

    The epochs are made in several launches, so an order of rows that is left wrong shows in the
    next one.
    """
    cases = [case, *others]
    plans = plans_of(rule, *n_epochs)
    outcomes = on_the_gpu(cases, [dict.fromkeys(range(len(cases)), plan) for plan in plans])
    for each, outcome in zip(cases, outcomes, strict=True):
        assert_same_outcome(outcome, on_the_cpu(each, plans), tolerance)
    if by_oracle:
        losses, parameters = by_the_oracle(case, rule, sum(n_epochs))
        assert outcomes[0].losses == pytest.approx(losses, rel=tolerance)
        assert_close(outcomes[0].parameters, parameters, tolerance)


def assert_same_fit(cpu, gpu_net, tolerance=1e-10):
    """Check what an estimator keeps of a fit on the GPU against the same fit on the CPU."""
    for name in ("n_iter_", "stop_reason_", "t_", "n_fun_", "n_layers_", "out_activation_"):
        assert getattr(gpu_net, name) == getattr(cpu, name), name
    for name in ("coefs_", "intercepts_"):
        for ours, theirs in zip(getattr(gpu_net, name), getattr(cpu, name), strict=True):
            assert ours.dtype == theirs.dtype
            assert_close(ours, theirs, tolerance)
    for name in ("loss_", "best_loss_", "loss_curve_", "init_losses_", "validation_scores_",
                 "best_validation_score_"):  # fmt: skip
        expected = getattr(cpu, name)
        is_none = expected is None
        assert (getattr(gpu_net, name) is None) == is_none, name
        if not is_none:
            approximately = pytest.approx(expected, rel=tolerance, abs=tolerance, nan_ok=True)
            assert getattr(gpu_net, name) == approximately, name
    largest = 1 + np.nan_to_num(cpu.gradient_norm_)
    for name in ("gradient_norm_", "gradient_norm_curve_"):
        np.testing.assert_allclose(
            getattr(gpu_net, name), getattr(cpu, name), rtol=0, atol=tolerance * largest
        )
    assert len(gpu_net.time_curve_) == len(gpu_net.loss_curve_)
    assert (np.diff(gpu_net.time_curve_) >= 0).all()


class Guards:
    """NaNs, or 99 for integers, round each array that is moved to the device from now on."""

    def __init__(self, monkeypatch):
        self._arrays = []
        self._to_device = gpu.to_device
        monkeypatch.setattr(gpu, "to_device", self._guarded)

    def _guarded(self, array):
        array = np.ascontiguousarray(array)
        if array.size == 0:
            return self._to_device(array)
        guard = np.nan if array.dtype.kind == "f" else 99
        padded = np.full(array.size + 2 * _GUARD, guard, array.dtype)
        padded[_GUARD:-_GUARD] = array.ravel()
        on_device = self._to_device(padded)
        self._arrays.append((on_device, guard))
        return on_device[_GUARD : _GUARD + array.size].reshape(array.shape)

    def assert_untouched(self):
        """Check that nothing was written before or after any array."""
        assert self._arrays
        for on_device, guard in self._arrays:
            on_host = gpu.to_host(on_device)
            for part in (on_host[:_GUARD], on_host[-_GUARD:]):
                np.testing.assert_array_equal(part, np.full_like(part, guard))
