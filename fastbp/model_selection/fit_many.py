"""Many networks at once: `fit_many`.

On the CPU each thread fits a network at a time, or as many small ones as a vector has lanes. On a
GPU all of those that sgd or adam train go side by side in the same launches, a block of threads
each.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Event
from typing import Any, Literal, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, check_consistent_length

from fastbp.backends.device import resolve
from fastbp.estimators.base import BackpropEstimator
from fastbp.estimators.regressor import BackpropRegressor
from fastbp.machine.threads import run_all
from fastbp.model.data import Data
from fastbp.model_selection.folds import rows_of_folds
from fastbp.solvers.stopping import Clock
from fastbp.training.advice import warn_before
from fastbp.training.callbacks import ManyFitsReport, with_callbacks
from fastbp.training.fit import conclude, fit_starts
from fastbp.training.generators import generator_of
from fastbp.training.options import make_clock
from fastbp.training.side_by_side import fit_side_by_side, go_side_by_side
from fastbp.training.start_results import StartResults
from fastbp.training.task import FitResult, FitTask

__all__ = ["SharedData", "TaskOutcome", "fit_many", "fit_tasks"]


def fit_many(
    X: Any,
    y: ArrayLike,
    parameters: Iterable[Mapping[str, Any]],
    folds: Any = None,
    *,
    estimator: BackpropEstimator | None = None,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    errors: Literal["raise", "return"] = "raise",
) -> list[Any]:
    """Fit many networks to the same data: grids, folds and starts side by side.

    Each is what ``clone(estimator).set_params(**parameters[i]).fit(X, y, sample_weight)`` gives, on
    the CPU to the last bit where ``random_state`` is an integer; other generators draw all initial
    weights first. Small networks that are trained online, or in batches of up to 8 rows, on dense
    rows go side by side in the lanes of a vector, 8 in float64 and 16 in float32, as many of one
    architecture, update rule and batch size as fill most of the lanes: their numbers are those of a
    fit alone to rounding, and the same bits for the same networks and any ``n_jobs``. On a GPU
    (``device="cuda"`` of the estimator or among the parameters) the networks that sgd or adam train
    are trained in the same launches, each by a block of threads, online or in mini-batches;
    networks with the same rows and ``random_state`` share their shuffles, which the CPU draws.

    The estimator's callbacks (scikit-learn 1.9) are told of one task "fit_many", whose subtasks are
    the fits: a `ProgressBar` is one bar, with one below it for each network. One that says stop
    ends the network that it was told of.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        The targets.
    parameters : iterable of dict
        Parameters of each network (a `ParameterGrid` is one).
    folds : splitter or iterable, default=None
        The rows of each fold to train on: every network is fitted to each of them. A splitter such
        as ``KFold(5)``, the pairs (train, test) that its ``split`` gives, of which the first count,
        or row numbers or a mask for each fold. None is one fit, to all rows.
    estimator : BackpropRegressor or BackpropClassifier, default=None
        What the parameters are set on; not changed. None is ``BackpropRegressor()``. A pipeline
        round one is for `BackpropSearchCV`.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of 0 or more.
    n_jobs : int or None, default=None
        Threads for networks trained on the CPU, in joblib's meaning; each network has one.
    errors : {"raise", "return"}, default="raise"
        What becomes of a network that cannot be fitted: the first such error is raised, or each is
        returned in the network's place.

    Returns
    -------
    fitted : list
        An estimator for each dict of parameters; with folds, a list of them, one a fold.

    Raises
    ------
    TypeError
        If the estimator is none of this package, ``parameters`` is a single dict, or ``folds`` are
        no folds.
    ValueError
        If the data, a fold or a parameter is wrong, two networks have the same ``checkpoint``, or a
        training diverges.
    RuntimeError
        If there is no GPU for ``device="cuda"``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import fit_many
    >>> X = np.random.default_rng(0).standard_normal((100, 3))
    >>> grid = [{"alpha": alpha, "solver": "lbfgs", "max_iter": 1000} for alpha in (0.1, 1.0)]
    >>> nets = fit_many(X, X[:, 0], grid, folds=[np.arange(50), np.arange(50, 100)])
    >>> [len(of_alpha) for of_alpha in nets]
    [2, 2]
    """
    if errors not in ("raise", "return"):
        raise ValueError(f"errors={errors!r} is neither 'raise' nor 'return'.")
    base: BackpropEstimator = BackpropRegressor() if estimator is None else estimator
    if not isinstance(base, BackpropEstimator):
        kind = (
            f"the class {base.__name__}" if isinstance(base, type) else f"a {type(base).__name__}"
        )
        raise TypeError(
            f"estimator is {kind}, but fit_many trains a BackpropRegressor or a "
            "BackpropClassifier: give such an object. BackpropSearchCV takes pipelines and other "
            "estimators round one."
        )
    if isinstance(parameters, Mapping):
        raise TypeError(
            "parameters is a dict, but fit_many takes one for each network: a list of them, as "
            "[{'alpha': 0.1}, {'alpha': 1.0}], or ParameterGrid(parameters) of lists of values."
        )
    check_consistent_length(X, y, None if np.isscalar(sample_weight) else sample_weight)
    rows: Sequence[Any] = [None]
    if folds is not None:
        rows = rows_of_folds(folds, X, y, _num_samples(X))
    parts = [tuple(_rows_of(array, fold) for array in (X, y, sample_weight)) for fold in rows]
    grid, n = list(parameters), len(rows)
    fits = [(each, part) for each in grid for part in parts]
    nets = _fit_each(clone(base), (X, y, sample_weight), fits, n_jobs, errors)
    if folds is None:
        return nets
    return [nets[i * n : (i + 1) * n] for i in range(len(grid))]


@with_callbacks
def _fit_each(
    base: BackpropEstimator,
    all_rows: tuple,
    fits: Sequence[tuple[Mapping[str, Any], tuple]],
    n_jobs: int | None,
    errors: str,
) -> list[Any]:
    """Fit clones of an estimator, each with its parameters and its (X, y, sample_weight)."""
    report = ManyFitsReport.of(base, all_rows, len(fits)) if fits else None
    shared, copy = SharedData(), _copier(base)
    nets: list[Any] = []
    tasks: list[FitTask | Exception] = []
    for number, (parameters, rows) in enumerate(fits):
        net: BackpropEstimator | None = None
        try:
            net = copy().set_params(**parameters)
            net._validate_params()
            task = net._fit_task(*rows)
            if report is not None:
                task = task._replace(report=report.begin_fit(number, net, rows))
            tasks.append(shared.share(task))
        except Exception as error:
            if errors == "raise":
                raise
            tasks.append(error)
        nets.append(net)
    _refuse_shared_checkpoints(tasks)
    outcomes = fit_tasks(_with_own_generators(tasks), n_jobs)
    for i, (task, outcome) in enumerate(zip(tasks, outcomes, strict=True)):
        try:
            _conclude(nets[i], task, outcome)
        except Exception as error:
            if errors == "raise":
                raise
            nets[i] = error
    if report is not None:
        report.end()
    return nets


#: What need not be copied with an estimator, since nothing can change it.
_PLAIN = (bool, int, float, str, tuple, type(None))


def _copier(base: BackpropEstimator) -> Callable[[], BackpropEstimator]:
    """Give what `clone` an estimator, a tenth of a millisecond faster where it has plain values."""
    parameters = base.get_params(deep=False)
    if vars(base) == parameters and all(isinstance(each, _PLAIN) for each in parameters.values()):
        return lambda: type(base)(**parameters)
    return lambda: clone(base)


def _conclude(net: Any, task: Any, outcome: "TaskOutcome") -> None:
    """Make a network what its training came to, or raise its error."""
    result = outcome.conclude(task)
    net._set_fitted(task.network, result)
    if task.report is not None:
        task.report.end(net.__dict__.copy)


def _refuse_shared_checkpoints(tasks: Sequence[FitTask | Exception]) -> None:
    """Let no two tasks keep their states in one file."""
    checkpoints = [task.checkpoint for task in tasks if isinstance(task, FitTask)]
    counts = Counter(os.path.realpath(each.path) for each in checkpoints if each is not None)
    for path, n in counts.items():
        if n > 1:
            raise ValueError(
                f"checkpoint={path!r} is the file of {n} of these fits, which would overwrite each "
                "other's. Give each its own among the parameters, without folds, or leave it out."
            )


def _with_own_generators(tasks: Sequence[FitTask | Exception]) -> list[FitTask | Exception]:
    """Let no two tasks draw their shuffles from one generator at the same time."""
    counts = Counter(id(task.start.random_state) for task in tasks if isinstance(task, FitTask))
    own: list[FitTask | Exception] = []
    for task in tasks:
        if isinstance(task, FitTask) and counts[id(task.start.random_state)] > 1:
            generator = generator_of(task.start.random_state.randint(2**31))
            task = task._replace(start=task.start._replace(random_state=generator))
        own.append(task)
    return own


class SharedData:
    """One copy of the data of tasks that have the same."""

    def __init__(self) -> None:
        self._alike: dict[tuple, list[Data]] = {}

    def share(self, task: FitTask) -> FitTask:
        """Replace a task's data by an equal copy seen before; to compare is less than to hash."""
        data = task.data
        if not isinstance(data, Data):  # it lies elsewhere
            return task
        alike = self._alike.setdefault(_glance(data), [])
        for known in alike:
            arrays = zip(data[:-1], known[:-1], strict=True)
            if all(a is b or np.array_equal(a, b) for a, b in arrays):
                return task._replace(data=known)
        alike.append(data)
        return task


class TaskOutcome(NamedTuple):
    """What came of a task: its starts' results, or the error that ended it.

    Attributes
    ----------
    results : StartResults or None
        What came of its starts.
    clock : Clock or None
        The time it had.
    error : Exception or None
        What went wrong.
    """

    results: StartResults | None
    clock: Clock | None
    error: Exception | None = None

    def conclude(self, task: Any) -> FitResult:
        """Give the best start's result, with the warnings of a fit, or raise the error."""
        if self.error is not None:
            raise self.error
        warn_before(task)
        assert self.results is not None and self.clock is not None
        return conclude(task, self.results, self.clock)


def fit_tasks(tasks: Sequence[FitTask | Exception], n_jobs: int | None) -> list[TaskOutcome]:
    """Train networks, side by side where that is faster and else one in each thread.

    Parameters
    ----------
    tasks : sequence of FitTask or Exception
        What is to be fitted, or why it cannot be.
    n_jobs : int or None
        Threads for the CPU.

    Returns
    -------
    outcomes : list of TaskOutcome
        What came of each, in order.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C.
    """
    n_threads, interrupted = effective_n_jobs(n_jobs), Event()
    outcomes = [
        TaskOutcome(None, None, task if isinstance(task, Exception) else None) for task in tasks
    ]
    given: dict[int, FitTask] = {}
    for i, task in enumerate(tasks):
        if isinstance(task, FitTask):
            try:
                resolve(task.estimator.device)
                given[i] = task
            except RuntimeError as error:  # there is no GPU
                outcomes[i] = TaskOutcome(None, None, error)
    chosen = dict(zip(given, go_side_by_side(list(given.values())), strict=True))
    together, others = ([i for i in given if chosen[i] is each] for each in (True, False))
    of_fleets = _fit_together([given[i] for i in together], n_threads, interrupted)
    for i, outcome in zip(together, of_fleets, strict=True):
        outcomes[i] = outcome

    def fit_one(i: int) -> Iterator[None]:
        task: Any = tasks[i]
        clock = make_clock(task, interrupted)
        try:
            outcomes[i] = TaskOutcome(fit_starts(task, clock, 1), clock)
        except Exception as error:
            outcomes[i] = TaskOutcome(None, clock, error)
        yield

    run_all(fit_one, others, max(1, min(n_threads, len(others))), interrupted)
    if interrupted.is_set():
        raise KeyboardInterrupt
    return outcomes


def _fit_together(tasks: list[Any], n_threads: int, interrupted: Event) -> list[TaskOutcome]:
    clocks = [make_clock(task, interrupted) for task in tasks]
    try:
        results = fit_side_by_side(tasks, clocks, n_threads)
    except Exception as error:  # a device's, so it is everybody's
        return [TaskOutcome(None, None, error) for _ in tasks]
    return [TaskOutcome(of_starts, clock) for of_starts, clock in zip(results, clocks, strict=True)]


def _glance(data: Data) -> tuple:
    """Give what tells most data apart: shapes, and the first and last bytes."""
    arrays = [array.ravel() for array in data[:-1]]
    ends = [(array[:8].tobytes(), array[-8:].tobytes()) for array in arrays]
    return data.X.shape, data.dtype, data.mean_weight, *ends


def _rows_of(array: Any, fold: NDArray | None) -> Any:
    return array if array is None or fold is None else _safe_indexing(array, fold)
