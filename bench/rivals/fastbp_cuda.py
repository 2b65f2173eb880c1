"""fastbp below its estimator, on the GPU and on the CPU, as `tables/cuda.py` races it.

Nothing of the GPU is imported before it is asked for.
"""

import os
from collections.abc import Callable

import numpy as np

from fastbp import Objective
from fastbp.backends.device import make_objective, make_predictor
from fastbp.machine.threads import run_all
from fastbp.model.data import as_data
from fastbp.model.objective import NO_PATIENCE, EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments

__all__ = [
    "CORES",
    "ORDERS",
    "Fastbp",
    "fleet_of",
    "train_all",
    "start_of",
    "runs_of",
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
        training = self._objective(case, X, y).run(
            start, case.batch_size, rule, moments, Shuffles(None)
        )
        # As in a fit, a call for one epoch of many gets the next one's order ready meanwhile.
        plan = EpochPlan(rule, NO_PATIENCE, 2 if case.n_rows >= MANY_ROWS else 1)

        def run():
            n_made = len(training.epochs(plan))
            if n_made != 1:
                raise RuntimeError(f"a call was to make one epoch and made {n_made}")

        return run, lambda: training.parameters.copy()

    def gradient(self, case, X, y):
        """Give a function from parameters to the loss of all rows and its gradient."""
        return self._objective(case, X, y).loss_and_gradient

    def prediction(self, case, X):
        """Give a function from parameters to the predictions of all rows."""
        return make_predictor(self._device, case.network, as_data(X), CORES)

    def _objective(self, case, X, y):
        return make_objective(self._device, case.network, as_data(X, y), case.alpha, CORES)


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
    from fastbp.backends.gpu.fleet import Fleet
    from fastbp.model.fleet import FleetMember

    members = [
        FleetMember(case.network, 0, case.alpha, 1, *start_of(case, seed), each)
        for seed, each in enumerate(shuffles)
    ]
    return Fleet(members, DeviceTables([data]), rule.record, CORES)


def runs_of(case, data, shuffles, rule):
    """Give the same networks for the CPU."""
    runs = []
    for seed, each in enumerate(shuffles):
        start, moments = start_of(case, seed)
        objective = Objective(case.network, data, case.alpha)
        runs.append(objective.run(start, 1, rule, moments, each))
    return runs


def train_all(runs, plan):
    """Train every network for an epoch, one thread a core."""

    def train(run):
        run.epochs(plan)
        yield

    run_all(train, runs, CORES)
