"""Many fits at once on a GPU: each with its own schedule and end, all in the same launches.

A training yields plans of epochs (``solvers/stochastic.py``). Here all of a fleet's trainings are
asked for theirs, one launch makes the epochs, and each is sent its losses, until the last has
ended.
"""

from contextlib import ExitStack
from typing import Any, NamedTuple

from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.fleet import Fleet, FleetMember, FleetRun
from fastbp.model.data import Data
from fastbp.model.objective import EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.solvers import stochastic
from fastbp.solvers.stopping import Clock
from fastbp.training.options import stochastic_options
from fastbp.training.start_results import StartResults
from fastbp.training.task import FitResult, FitTask, Start
from fastbp.training.validation_set import make_early_stopping

__all__ = ["fit_on_device"]


class _Entrant(NamedTuple):
    """One start of a task."""

    task_number: int
    task: FitTask
    start: Start
    options: stochastic.Options
    shuffles: Shuffles

    @property
    def kind(self) -> tuple:
        """What the members of a fleet have in common."""
        data = self.task.data
        return (
            data.dtype.name,
            data.X.shape[1],
            data.y.shape[1],
            len(data.row_starts) > 0,
            self.options.batch_size == 1,
            self.options.state.rule.code,
        )


def fit_on_device(tasks: list[FitTask], clocks: list[Clock], n_threads: int) -> list[StartResults]:
    """Train networks by sgd or adam on the GPU, all that go together in the same launches.

    Parameters
    ----------
    tasks : list of FitTask
        What is to be fitted.
    clocks : list of Clock
        When each has to stop in any case.
    n_threads : int
        Threads of the CPU to draw the orders of rows in.

    Returns
    -------
    results : list of StartResults
        For each task what came of its starts.
    """
    results = [StartResults(task) for task in tasks]
    with ExitStack() as stack:
        fleets: dict[tuple, list[_Entrant]] = {}
        for task_number, (task, clock) in enumerate(zip(tasks, clocks, strict=True)):
            for entrant in _entrants(task_number, task, clock, stack):
                fleets.setdefault(entrant.kind, []).append(entrant)
        for entrants in fleets.values():
            for entrant, result in zip(entrants, _train(entrants, n_threads), strict=True):
                results[entrant.task_number].add(entrant.start.number, result)
                if entrant.task.report is not None:
                    entrant.task.report.end_start(entrant.start, result)
                if result.stop_reason == "interrupted":
                    clocks[entrant.task_number].interrupted.set()
    return results


def _entrants(task_number: int, task: FitTask, clock: Clock, stack: ExitStack) -> list[_Entrant]:
    """Make a task's starts ready; their generators are lent until the stack is closed."""
    entrants = []
    for start in task.starts():
        early_stopping = None
        if task.validation is not None:
            early_stopping = make_early_stopping(
                task.estimator, task.network, task.validation, 1, "cpu"
            )
        options = stochastic_options(task, start, early_stopping, clock)
        shuffles = Shuffles(start.random_state if options.shuffle else None)
        entrants.append(_Entrant(task_number, task, start, options, stack.enter_context(shuffles)))
    return entrants


def _train(entrants: list[_Entrant], n_threads: int) -> list[FitResult]:
    """Train a fleet until the last of its members has ended."""
    tables: dict[int, Data] = {id(entrant.task.data): entrant.task.data for entrant in entrants}
    places = {key: place for place, key in enumerate(tables)}
    members = [
        FleetMember(
            entrant.task.network,
            places[id(entrant.task.data)],
            entrant.task.alpha,
            entrant.options.batch_size,
            entrant.start.parameters,
            entrant.options.state.moments,
            entrant.shuffles,
        )
        for entrant in entrants
    ]
    fleet = Fleet(
        members,
        DeviceTables(list(tables.values())),
        entrants[0].options.state.rule.record,
        n_threads,
    )
    trainings = [
        stochastic.plan_epochs(FleetRun(fleet, i), entrant.options)
        for i, entrant in enumerate(entrants)
    ]
    ended: dict[int, FitResult] = {}
    plans: dict[int, EpochPlan] = {}

    def ask(i: int, question: Any, *answer: Any) -> None:
        """Let a training go on to its next plan, or to its end."""
        try:
            plans[i] = question(*answer)
        except StopIteration as end:
            solver, options = entrants[i].task.solver, entrants[i].options
            ended[i] = FitResult.of(solver, end.value, options.state, options.monitor.path)

    for i, training in enumerate(trainings):
        ask(i, next, training)
    while plans:
        try:
            losses = fleet.epochs(plans)
        except KeyboardInterrupt as interrupt:
            going, plans = list(plans), {}
            for i in going:
                ask(i, trainings[i].throw, interrupt)
        else:
            plans = {}
            for i, of_one in losses.items():
                ask(i, trainings[i].send, of_one)
    return [ended[i] for i in range(len(entrants))]
