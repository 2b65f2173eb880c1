"""fastbp below its estimator, on the GPU and on the CPU, as `bench_cuda.py` races it.

Nothing of the GPU is imported before it is asked for.
"""

import os
from collections.abc import Callable
from contextlib import contextmanager
from statistics import median
from typing import Any

import numpy as np

from fastbp import Objective
from fastbp.backends.cpu.predict import predictor
from fastbp.machine.threads import run_all
from fastbp.model.data import as_data
from fastbp.model.objective import NO_PATIENCE, Leg
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments
from timing import seconds

__all__ = [
    "CORES",
    "ORDERS",
    "Fastbp",
    "fleet_of",
    "go_on",
    "seconds_in_kernels",
    "start_of",
    "walks_of",
]

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
MANY_ROWS = 2**17  # of them an epoch is a call


class Fastbp:
    """The package, below its estimator, on one device."""

    tf32 = only_trains = False

    def __init__(self, device):
        self._device = device
        self.name = self.column = f"fastbp {'GPU' if device == 'cuda' else 'CPU'}"

    def epochs(self, case, X, y, rule):
        """Give ``run()``, which goes once through the rows as they stand, and ``parameters()``."""
        start, moments = start_of(case)
        walk = self._objective(case, X, y).walk(
            start, case.batch_size, rule, moments, Shuffles(None)
        )
        # As in a fit, a call for one epoch of many gets the next one's order ready meanwhile.
        leg = Leg(rule, NO_PATIENCE, 2 if case.n_rows >= MANY_ROWS else 1)

        def run():
            n_made = len(walk.epochs(leg))
            if n_made != 1:
                raise RuntimeError(f"a call was to make one epoch and made {n_made}")

        return run, lambda: walk.parameters.copy()

    def gradient(self, case, X, y):
        """Give a function from parameters to the loss of all rows and its gradient."""
        return self._objective(case, X, y).loss_and_gradient

    def prediction(self, case, X):
        """Give a function from parameters to the predictions of all rows."""
        return predictor(case.network, as_data(X), CORES, self._device)

    def _objective(self, case, X, y):
        if self._device == "cpu":
            return Objective(case.network, as_data(X, y), case.alpha, CORES)
        from fastbp.backends.gpu.objective import DeviceObjective

        return DeviceObjective(case.network, as_data(X, y), case.alpha)


def start_of(case, seed=0):
    """Parameters and moments to start from, in float32."""
    start = case.network.initial_parameters(np.random.RandomState(seed), np.dtype(np.float32))
    return start, Moments.zeros(start.size, start.dtype)


class Drawn(Shuffles):
    """An order drawn before."""

    are_compiled, state = True, None

    def __init__(self, seed, n_rows, on_device):
        super().__init__(None)
        self.state, self.are_compiled = seed, on_device  # the CPU's kernels draw for themselves
        self._order = np.random.RandomState(seed).permutation(n_rows)

    def shuffle(self, rows):
        """Put rows in the order."""
        rows[:] = self._order


def _seeded(seed, n_rows, on_device):
    """Orders drawn when they are needed, from a seed."""
    return Shuffles(np.random.RandomState(seed))


#: What the networks' orders of rows are: how many there are, and one network's, in a context.
ORDERS: dict[str, tuple[Callable, Callable]] = {
    "rows as they stand": (lambda n: 1, lambda *_: Shuffles(None)),
    "equal seeds, one order drawn": (lambda n: 1, lambda _, *rest: _seeded(0, *rest)),
    "own seeds, orders drawn before": (lambda n: n, Drawn),
    "own seeds, orders drawn in the time": (lambda n: n, _seeded),
}


def fleet_of(case, data, shuffles, rule):
    """Networks on the device, each from a seed of its own."""
    from fastbp.backends.gpu.data import DeviceTables
    from fastbp.backends.gpu.fleet import Fleet, Member

    members = [
        Member(case.network, 0, case.alpha, 1, *start_of(case, seed), each)
        for seed, each in enumerate(shuffles)
    ]
    return Fleet(members, DeviceTables([data]), rule.kind, CORES)


def walks_of(case, data, shuffles, rule):
    """Give the same networks for the CPU."""
    walks = []
    for seed, each in enumerate(shuffles):
        start, moments = start_of(case, seed)
        objective = Objective(case.network, data, case.alpha)
        walks.append(objective.walk(start, 1, rule, moments, each))
    return walks


def go_on(walks, leg):
    """Take every network through an epoch, one thread a core."""

    def walk_on(walk):
        walk.epochs(leg)
        yield

    run_all(walk_on, walks, CORES)


@contextmanager
def launches_timed():
    """Wait for every launch, and add up what they take."""
    from fastbp.machine import gpu

    plain, taken = gpu.launch, []

    def launch(*arguments: Any) -> None:
        gpu.synchronise()
        taken.append(seconds(lambda: (plain(*arguments), gpu.synchronise())))

    gpu.launch = launch
    try:
        yield taken
    finally:
        gpu.launch = plain


def seconds_in_kernels(run):
    """Seconds that launched kernels take of a call."""
    sums = []
    for _ in range(3):
        with launches_timed() as taken:
            run()
        sums.append(sum(taken))
    return median(sums)
