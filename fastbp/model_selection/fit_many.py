"""Many networks at once: `fit_many`.

On the CPU each thread fits a network at a time. On a GPU all of those that sgd or adam train go
side by side in the same launches, a block of threads each.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Event
from typing import Any, Literal, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_consistent_length

from fastbp.estimators.regressor import BackpropRegressor
from fastbp.machine.threads import run_all
from fastbp.solvers.stopping import Clock
from fastbp.training.fit import conclude, train_starts
from fastbp.training.task import Fitted, Job
from fastbp.training.validation_set import Table

__all__ = ["SharedTables", "Trained", "fit_many", "train_jobs"]


def fit_many(
    X: Any,
    y: ArrayLike,
    parameters: Iterable[Mapping[str, Any]],
    folds: Iterable[ArrayLike] | None = None,
    *,
    estimator: BackpropRegressor | None = None,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    errors: Literal["raise", "return"] = "raise",
) -> list[Any]:
    """Fit many networks to the same data: grids, folds and starts side by side.

    Each is what ``clone(estimator).set_params(**parameters[i]).fit(X, y, sample_weight)`` gives, on
    the CPU to the last bit where ``random_state`` is an integer; other generators draw all initial
    weights first. On a GPU (``device="cuda"`` of the estimator or among the parameters)
    the networks that sgd or adam train are trained in the same launches, each by a block of
    threads, online or in mini-batches; networks with the same rows and ``random_state`` share their
    shuffles, which the CPU draws.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        The targets.
    parameters : iterable of dict
        Parameters of each network (a `ParameterGrid` is one).
    folds : iterable of array-like of int or bool, default=None
        The rows of each fold to train on: every network is fitted to each of them. From a splitter:
        ``[train for train, _ in KFold(5).split(X)]``. None is one fit, to all rows.
    estimator : BackpropRegressor, default=None
        What the parameters are set on; not changed. None is ``BackpropRegressor()``.
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
        A `BackpropRegressor` for each dict of parameters; with folds, a list of them, one a fold.

    Raises
    ------
    ValueError
        If the data or a parameter is wrong, or a training diverges.
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
    base = BackpropRegressor() if estimator is None else estimator
    check_consistent_length(X, y, None if np.isscalar(sample_weight) else sample_weight)
    rows: Sequence[Any] = [None] if folds is None else [np.asarray(fold) for fold in folds]
    parts = [[_rows_of(array, fold) for array in (X, y, sample_weight)] for fold in rows]
    tables = SharedTables()
    nets: list[Any] = []
    jobs: list[Job | Exception] = []
    grid = list(parameters)
    for each in grid:
        for X_fold, y_fold, weights in parts:
            net: BackpropRegressor | None = None
            try:
                net = clone(base).set_params(**each)
                net._validate_params()
                jobs.append(tables.share(net._job(X_fold, y_fold, weights)))
            except Exception as error:
                if errors == "raise":
                    raise
                jobs.append(error)
            nets.append(net)
    for i, (job, trained) in enumerate(zip(jobs, train_jobs(_apart(jobs), n_jobs), strict=True)):
        try:
            fitted = trained.conclude(job)
            nets[i]._set_fitted(job.network, fitted)  # type: ignore[union-attr]
        except Exception as error:
            if errors == "raise":
                raise
            nets[i] = error
    if folds is None:
        return nets
    n = len(rows)
    return [nets[i * n : (i + 1) * n] for i in range(len(grid))]


def _apart(jobs: Sequence[Job | Exception]) -> list[Job | Exception]:
    """Let no two jobs draw their shuffles from one generator at the same time."""
    generators = Counter(id(job.start.random_state) for job in jobs if isinstance(job, Job))
    apart: list[Job | Exception] = []
    for job in jobs:
        if isinstance(job, Job) and generators[id(job.start.random_state)] > 1:
            own = np.random.RandomState(job.start.random_state.randint(2**31))
            job = job._replace(start=job.start._replace(random_state=own))
        apart.append(job)
    return apart


class SharedTables:
    """One copy of the data of jobs that have the same."""

    def __init__(self) -> None:
        self._tables: dict[bytes, Table] = {}

    def share(self, job: Job) -> Job:
        """Give the job with the first such table for its own."""
        return job._replace(table=self._tables.setdefault(job.table.digest(), job.table))


class Trained(NamedTuple):
    """What came of a job: its starts' results, or the error that ended it.

    Attributes
    ----------
    results : list of Fitted or None
        What came of each start.
    clock : Clock or None
        The time it had.
    error : Exception or None
        What went wrong.
    """

    results: list[Fitted | None]
    clock: Clock | None
    error: Exception | None = None

    def conclude(self, job: Any) -> Fitted:
        """Give the best start's result, with the warnings of a fit, or raise the error."""
        if self.error is not None:
            raise self.error
        job.warn_of_a_large_batch()
        return conclude(job, self.results, self.clock)  # type: ignore[arg-type]


def train_jobs(jobs: Sequence[Job | Exception], n_jobs: int | None) -> list[Trained]:
    """Train networks, on the GPU side by side and on the CPU in threads.

    Parameters
    ----------
    jobs : sequence of Job or Exception
        What is to be fitted, or why it cannot be.
    n_jobs : int or None
        Threads for the CPU.

    Returns
    -------
    trained : list of Trained
        What came of each, in order.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C.
    """
    n_threads, interrupted = effective_n_jobs(n_jobs), Event()
    trained = [Trained([], None, job if isinstance(job, Exception) else None) for job in jobs]
    on_device: list[int] = []
    others: list[int] = []
    for i, job in enumerate(jobs):
        if isinstance(job, Job):
            try:
                (on_device if job.goes_side_by_side else others).append(i)
            except RuntimeError as error:  # there is no GPU
                trained[i] = Trained([], None, error)
    if on_device:
        _train_on_device(jobs, on_device, trained, n_threads, interrupted)

    def train_one(i: int) -> Iterator[None]:
        job: Any = jobs[i]
        clock = job.clock(interrupted)
        try:
            trained[i] = Trained(train_starts(job, clock, 1), clock)
        except Exception as error:
            trained[i] = Trained([], clock, error)
        yield

    run_all(train_one, others, max(1, min(n_threads, len(others))), interrupted)
    if interrupted.is_set():
        raise KeyboardInterrupt
    return trained


def _train_on_device(
    jobs: Sequence[Any],
    which: list[int],
    trained: list[Trained],
    n_threads: int,
    interrupted: Event,
) -> None:
    from fastbp.training.side_by_side import train_on_device

    clocks = [jobs[i].clock(interrupted) for i in which]
    try:
        results = train_on_device([jobs[i] for i in which], clocks, n_threads)
    except Exception as error:  # the device's, so it is everybody's
        for i in which:
            trained[i] = Trained([], None, error)
        return
    for i, of_starts, clock in zip(which, results, clocks, strict=True):
        trained[i] = Trained(list(of_starts), clock)


def _rows_of(array: Any, fold: NDArray | None) -> Any:
    return array if array is None or fold is None else _safe_indexing(array, fold)
