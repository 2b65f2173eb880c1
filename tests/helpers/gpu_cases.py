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
from fastbp.backends.gpu.fleet import Fleet, Member
from fastbp.machine import gpu
from fastbp.model.data import Data
from fastbp.model.objective import NO_PATIENCE, Leg
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments
from helpers import oracle

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


class Course(NamedTuple):
    """What a training leaves behind."""

    losses: list
    parameters: Any
    first: Any
    second: Any
    n_steps: int
    next_draw: int


def legs_of(rule, *n_epochs, patience=NO_PATIENCE):
    """Make legs of so many epochs, one after another."""
    return [Leg(rule, patience, n) for n in n_epochs]


def on_the_gpu(cases, launches):
    """Train cases in one fleet; ``launches`` is a list of dicts from a case's number to its leg."""
    tables = list({id(case.data): case.data for case in cases}.values())
    places = {id(table): place for place, table in enumerate(tables)}
    states = [case.random_state() for case in cases]
    losses = [[] for _ in cases]
    with ExitStack() as stack:
        members = [
            Member(
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
        fleet = Fleet(members, DeviceTables(tables), next(iter(launches[0].values())).rule.kind)
        for launch in launches:
            for i, of_one in fleet.epochs(launch).items():
                losses[i] += of_one.tolist()
    return [
        _course(losses[i], fleet.parameters(i), fleet.moments(i), states[i])
        for i in range(len(cases))
    ]


def on_the_cpu(case, legs):
    """Train a case alone by the CPU's kernels."""
    objective = Objective(case.network, case.data, case.alpha)
    p, rows = case.parameters.copy(), np.arange(case.data.n_samples)
    moments, losses = Moments.zeros(p.size, p.dtype), []
    state = case.random_state()
    with Shuffles(state) as shuffles:
        for leg in legs:
            losses += objective.epochs(
                p, rows, case.batch_size, leg.rule, moments, shuffles, leg.patience, leg.most
            ).tolist()
    return _course(losses, p, moments, state)


def by_the_oracle(case, rule, kind, n_epochs):
    """Train a case by the textbook, in float64."""
    network, data = case.network, case.data
    expected = case.parameters.astype(np.float64)
    coefs, intercepts = network.unpack(expected)
    X, y, weights = (np.asarray(a, np.float64) for a in (data.X, data.y, data.weights))
    optimiser = oracle.Optimiser(kind, rule.learning_rate, rule.beta_1 or 0.9)
    losses, rows, state = [], np.arange(data.n_samples), case.random_state()
    for _ in range(n_epochs):
        if state is not None:
            rows = rows[state.permutation(len(rows))]
        loss = oracle.epoch(
            coefs, intercepts, X, y, weights if len(weights) else None, case.alpha,
            network.activation, network.last_activation, network.loss, rows, case.batch_size,
            optimiser,
        )  # fmt: skip
        losses.append(loss)
    return losses, expected


def _course(losses, parameters, moments, state):
    next_draw = -1 if state is None else state.randint(2**31)
    return Course(losses, parameters, moments.first, moments.second, moments.n_steps, next_draw)


def assert_close(actual, expected, tolerance):
    """Check an array against another, relative to the largest entry."""
    assert np.shape(actual) == np.shape(expected)
    largest = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * largest)


def assert_same_course(course, expected, tolerance=1e-10):
    """Check what a training on the GPU leaves behind against the CPU's."""
    assert len(course.losses) == len(expected.losses)
    assert course.losses == pytest.approx(expected.losses, rel=tolerance)
    assert course.parameters.dtype == course.first.dtype == expected.parameters.dtype
    for name in ("parameters", "first", "second"):
        assert_close(getattr(course, name), getattr(expected, name), tolerance)
    assert course.n_steps == expected.n_steps
    assert course.next_draw == expected.next_draw


def assert_same_training(case, rule, kind=None, n_epochs=(2, 1), tolerance=1e-10, others=()):
    """Train a case on the GPU, with others beside it, and compare with the CPU and the oracle.

    The epochs are made in several launches, so an order of rows that is left wrong shows in the
    next one.
    """
    cases = [case, *others]
    legs = legs_of(rule, *n_epochs)
    courses = on_the_gpu(cases, [dict.fromkeys(range(len(cases)), leg) for leg in legs])
    for each, course in zip(cases, courses, strict=True):
        assert_same_course(course, on_the_cpu(each, legs), tolerance)
    if kind is not None:
        losses, parameters = by_the_oracle(case, rule, kind, sum(n_epochs))
        assert courses[0].losses == pytest.approx(losses, rel=tolerance)
        assert_close(courses[0].parameters, parameters, tolerance)


class Guards:
    """NaNs, or 99 for integers, round each array that is moved to the device from now on."""

    def __init__(self, monkeypatch):
        self._rooms = []
        self._to_device = gpu.to_device
        monkeypatch.setattr(gpu, "to_device", self._guarded)

    def _guarded(self, array):
        array = np.ascontiguousarray(array)
        if array.size == 0:
            return self._to_device(array)
        guard = np.nan if array.dtype.kind == "f" else 99
        room = np.full(array.size + 2 * _GUARD, guard, array.dtype)
        room[_GUARD:-_GUARD] = array.ravel()
        on_device = self._to_device(room)
        self._rooms.append((on_device, guard))
        return on_device[_GUARD : _GUARD + array.size].reshape(array.shape)

    def assert_untouched(self):
        """Check that nothing was written before or after any array."""
        assert self._rooms
        for room, guard in self._rooms:
            on_host = gpu.to_host(room)
            for part in (on_host[:_GUARD], on_host[-_GUARD:]):
                np.testing.assert_array_equal(part, np.full_like(part, guard))
