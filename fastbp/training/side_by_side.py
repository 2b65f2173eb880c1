"""Many trainings at once on a GPU: each with its own schedule and end, all in the same launches.

A training on the device yields legs (``solvers/stochastic.py``); here all of a fleet's trainings
are asked for theirs, one launch goes them, and each is sent its losses, until the last has ended.
"""

from contextlib import ExitStack
from typing import Any, NamedTuple

from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.fleet import DeviceWalk, Fleet, Member
from fastbp.model.data import Data
from fastbp.model.shuffles import Shuffles
from fastbp.solvers import stochastic
from fastbp.solvers.stopping import Clock
from fastbp.training.task import Fitted, Job, Start
from fastbp.training.validation_set import early_stopping

__all__ = ["train_on_device"]


class _Trainee(NamedTuple):
    """One start of a job."""

    job: int
    start: Start
    options: stochastic.Options
    shuffles: Shuffles


def train_on_device(jobs: list[Job], clocks: list[Clock], n_threads: int) -> list[list[Fitted]]:
    """Train networks by sgd or adam on the GPU, all that go together in the same launches.

    Parameters
    ----------
    jobs : list of Job
        What is to be fitted.
    clocks : list of Clock
        When each has to stop in any case.
    n_threads : int
        Threads of the CPU to draw the orders of rows in.

    Returns
    -------
    results : list of list of Fitted
        For each job what came of each of its starts.
    """
    tables = _Tables(jobs)
    results: list[list[Fitted]] = [[] for _ in jobs]
    with ExitStack() as stack:
        for trainees in _fleets(jobs, clocks, stack, tables):
            for trainee, fitted in zip(
                trainees, _train(jobs, trainees, tables, n_threads), strict=True
            ):
                results[trainee.job].append(fitted)
                if fitted.stop_reason == "interrupted":
                    clocks[trainee.job].interrupted.set()
    return results


class _Tables:
    """The jobs' data, each table once: those that hold the same are one (`SharedTables`)."""

    def __init__(self, jobs: list[Job]) -> None:
        self._keys = [(id(job.table), job.dtype.str) for job in jobs]
        self._data: dict[tuple, Data] = {}
        for key, job in zip(self._keys, jobs, strict=True):
            if key not in self._data:
                self._data[key] = job.table.data(job.dtype)
        self._moved: dict[tuple, DeviceTables] = {}

    def of(self, jobs: list[int]) -> tuple[DeviceTables, list[int]]:
        """Tables of some jobs on the device, and which of them is each job's."""
        distinct = tuple(dict.fromkeys(self._keys[job] for job in jobs))
        if distinct not in self._moved:
            self._moved[distinct] = DeviceTables([self._data[key] for key in distinct])
        return self._moved[distinct], [distinct.index(self._keys[job]) for job in jobs]

    def kind(self, job: int) -> tuple:
        """Equal where tables can lie behind one another."""
        data = self._data[self._keys[job]]
        return data.dtype.name, data.X.shape[1], data.y.shape[1], len(data.row_starts) > 0


def _fleets(
    jobs: list[Job], clocks: list[Clock], stack: ExitStack, tables: _Tables
) -> list[list[_Trainee]]:
    """Group the jobs' starts by what a launch has to have in common."""
    fleets: dict[Any, list[_Trainee]] = {}
    for i, (job, clock) in enumerate(zip(jobs, clocks, strict=True)):
        for start in job.starts():
            rule = None
            if job.held_out is not None:
                rule = early_stopping(job.estimator, job.network, job.held_out, job.dtype, 1)
            options = job.stochastic_options(start, rule, clock)
            shuffles = Shuffles(start.random_state if options.shuffle else None)
            kind = (tables.kind(i), options.batch_size == 1, options.training.rule.kind)
            trainee = _Trainee(i, start, options, stack.enter_context(shuffles))
            fleets.setdefault(kind, []).append(trainee)
    return list(fleets.values())


def _train(
    jobs: list[Job], trainees: list[_Trainee], tables: _Tables, n_threads: int
) -> list[Fitted]:
    """Train a fleet until the last of its members has ended."""
    on_device, places = tables.of([trainee.job for trainee in trainees])
    members = [
        Member(
            jobs[trainee.job].network,
            place,
            jobs[trainee.job].alpha,
            trainee.options.batch_size,
            trainee.start.parameters,
            trainee.options.training.moments,
            trainee.shuffles,
        )
        for trainee, place in zip(trainees, places, strict=True)
    ]
    kind = trainees[0].options.training.rule.kind
    fleet = Fleet(members, on_device, kind, n_threads)
    trainings = [
        stochastic.legs(DeviceWalk(fleet, i), trainee.options) for i, trainee in enumerate(trainees)
    ]
    ended: dict[int, Fitted] = {}
    legs = {}

    def ask(i: int, question: Any, *answer: Any) -> None:
        """Let a training go on to its next leg, or to its end."""
        try:
            legs[i] = question(*answer)
        except StopIteration as end:
            parameters, history, reason = end.value
            ended[i] = Fitted(parameters, history, reason, trainees[i].options.training)

    for i, training in enumerate(trainings):
        ask(i, next, training)
    while legs:
        try:
            losses = fleet.epochs(legs)
        except KeyboardInterrupt as interrupt:
            going, legs = list(legs), {}
            for i in going:
                ask(i, trainings[i].throw, interrupt)
        else:
            legs = {}
            for i, of_one in losses.items():
                ask(i, trainings[i].send, of_one)
    return [ended[i] for i in range(len(trainees))]
