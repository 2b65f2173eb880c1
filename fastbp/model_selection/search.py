"""`BackpropSearchCV`: a grid search that trains all of its networks side by side.

scikit-learn's `GridSearchCV` knows best how to split, score, rank and refit, through pipelines and
with metadata. What it does one fit after another is the training. So the search runs twice. The
first run records: each fit stops before its training, whose task is kept, and scores are thrown
away. Then all tasks are trained at once. The second run replays: each fit, when it comes to its
training, is given the result. Transformers are fitted twice for that, networks once. A network that
nothing is round is recorded without scikit-learn's help.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from joblib import parallel_config
from numpy.typing import ArrayLike
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import indexable

from fastbp.estimators.base import BackpropEstimator
from fastbp.model_selection.fit_many import SharedData, TaskOutcome, fit_tasks
from fastbp.solvers import History
from fastbp.training.callbacks import without_callbacks
from fastbp.training.fit import fit, override
from fastbp.training.generators import copy_of
from fastbp.training.task import FitResult, FitTask
from fastbp.version import SITE

__all__ = ["BackpropSearchCV"]


class BackpropSearchCV(GridSearchCV):
    """Grid search with cross-validation that trains all of its networks side by side.

    The same interface as scikit-learn's `GridSearchCV`, and the same ``cv_results_``, but for the
    times: all networks are trained at once, on the CPU in ``n_jobs`` threads and without a copy of
    the data for each, on a GPU (``device="cuda"`` of the estimator) in the same launches.
    The estimator may be a `BackpropRegressor` or `BackpropClassifier`, or a pipeline or another
    meta-estimator round one.
    Transformers are fitted twice for each fit, since what they make is needed before the training
    and after it.

    Give the network a number for ``random_state``. With None, or a generator, each network of a
    `GridSearchCV` begins where the training of the one before has left the generator; here they are
    trained at the same time, and draw other numbers.

    Callbacks (scikit-learn 1.9) are handed on as `GridSearchCV` does: those such as a `ProgressBar`
    are set on the search, others on the estimator. But they are told when the networks are trained
    already, of each where its fit begins and ends; none is told of iterations or may end them, save
    those of the last fit of the best. For a bar that moves meanwhile, take `GridSearchCV`.

    Parameters
    ----------
    estimator : estimator
        A `BackpropRegressor` or `BackpropClassifier`, or what has one inside.
    param_grid : dict or list of dict
        The parameters to try.
    scoring, refit, cv, verbose, error_score, return_train_score
        As of `GridSearchCV`.
    n_jobs : int or None, default=None
        Threads that networks are trained in on the CPU; each has one. The rest of a search, and the
        last fit of the best, is done in the calling thread.
    pre_dispatch
        Ignored: there is one process.

    Attributes
    ----------
    cv_results_ : dict
        As of `GridSearchCV`. A fit's time is that of its own preparation and an equal share of the
        time of all trainings.
    training_time_ : float
        Seconds that all trainings took, the last fit of the best not counted.

    See Also
    --------
    fit_many : The same without splits and scores.
    sklearn.model_selection.GridSearchCV : Where all other attributes are described.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from fastbp import BackpropRegressor, BackpropSearchCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = BackpropRegressor(hidden_layer_sizes=(10,), activation="tanh", solver="lbfgs",
    ...                         max_iter=1000, tol=0.01)
    >>> search = BackpropSearchCV(net, {"alpha": [0.01, 10], "random_state": [0, 1]}, cv=3)
    >>> search.fit(scale(X), scale(y)).best_params_["alpha"]
    10
    """

    # Where the "?" of its picture in a notebook leads.
    _doc_link_module = "fastbp"
    _doc_link_template = f"{SITE}/generated/api/fastbp.{{estimator_name}}.html"

    def fit(self, X: Any, y: ArrayLike | None = None, **params: Any) -> "BackpropSearchCV":
        """Try all parameters, and fit the best to all rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The inputs.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        **params : dict of str to object
            As of `GridSearchCV`: parameters for ``fit``, the scorer and the splitter.

        Returns
        -------
        self : BackpropSearchCV
            The fitted search.

        Raises
        ------
        ValueError
            If a network has a ``checkpoint``, or as of `GridSearchCV`.
        """
        self._validate_params()
        X, y = indexable(X, y)
        cv: Any = self.cv  # type: ignore[has-type]
        # In both runs the splits are the same, and so is what is drawn without a seed.
        self.cv = _SameSplits(check_cv(cv, y, classifier=is_classifier(self.estimator)))
        global_state = np.random.get_state()  # noqa: NPY002 - of nets with random_state=None
        try:
            with parallel_config(backend="sequential"):
                recorder = self._record(X, y, params)
            _refuse_checkpoints(recorder.tasks)
            since = time.perf_counter()
            outcomes = fit_tasks(recorder.tasks, self.n_jobs)
            self.training_time_ = time.perf_counter() - since
            np.random.set_state(global_state)  # noqa: NPY002
            with (
                parallel_config(backend="sequential"),
                _fits_made_by(_Replayer(recorder, outcomes)),
            ):
                super().fit(X, y, **params)
        finally:
            self.cv = cv
        share = self.training_time_ / max(1, len(self.cv_results_["params"]) * self.n_splits_)
        self.cv_results_["mean_fit_time"] = self.cv_results_["mean_fit_time"] + share
        return self

    def _record(self, X: Any, y: Any, params: dict[str, Any]) -> "_Recorder":
        """Run the search without training, and keep what would be trained."""
        recorder, estimator = _Recorder(), without_callbacks(self.estimator)
        with warnings.catch_warnings(), _fits_made_by(recorder):
            warnings.simplefilter("ignore")  # the second run warns of the same
            try:
                if getattr(type(estimator), "fit", None) is BackpropEstimator.fit and not params:
                    self._record_networks(recorder, estimator, X, y)
                else:
                    GridSearchCV(
                        estimator, self.param_grid, scoring=self.scoring, refit=False, cv=self.cv
                    ).fit(X, y, **params)
            except Exception:  # the second run raises the same
                return _Recorder()
        return recorder

    def _record_networks(
        self, recorder: "_Recorder", estimator: BackpropEstimator, X: Any, y: Any
    ) -> None:
        """Keep the trainings of networks that nothing is round: no scores, and each split once."""
        splits = [_safe_split(estimator, X, y, train) for train, _ in self.cv.split(X, y)]
        for candidate in ParameterGrid(self.param_grid):
            net = clone(estimator).set_params(**clone(candidate, safe=False))
            for X_train, y_train in splits:
                # What is wrong with a network, the second run says.
                with suppress(Exception):
                    net._validate_params()
                    recorder.add_fit(net, X_train, y_train)


def _refuse_checkpoints(tasks: list[FitTask]) -> None:
    for task in tasks:
        if task.checkpoint is not None:
            raise ValueError(
                f"checkpoint={os.fspath(task.checkpoint.path)!r} is for one fit, and this search "
                "makes one for each fold, which would overwrite each other's. Leave it out."
            )


@contextmanager
def _fits_made_by(somebody: Callable[[FitTask], FitResult] | None) -> Iterator[None]:
    token = override.set(somebody)
    try:
        yield
    finally:
        override.reset(token)


class _SameSplits:
    """A splitter whose splits are the same each time, even those drawn at random."""

    def __init__(self, splitter: Any) -> None:
        self._splitter = splitter
        self._splits: list | None = None

    def split(self, *arguments: Any, **named: Any) -> Any:
        """Give the splits of the first call."""
        if self._splits is None:
            self._splits = list(self._splitter.split(*arguments, **named))
        return self._splits

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what pickling looks for before there is a splitter
            raise AttributeError(name)
        return getattr(self._splitter, name)


def _with_copied_generator(task: FitTask) -> FitTask:
    generator = copy_of(task.start.random_state)
    return task._replace(start=task.start._replace(random_state=generator))


def _digest(task: FitTask) -> bytes:
    """Give the digest of a task with shared data: which they are tells what is in them."""
    return task.digest(str(id(task.data)).encode())


class _Recorder:
    """Keeps each task that comes to be fitted, and returns the untrained network for it."""

    def __init__(self) -> None:
        self.tasks: list[FitTask] = []
        self.digests: list[bytes] = []  # before the training moves the generators on
        self._shared = SharedData()  # all points of a grid have the same rows in a fold

    def add_fit(self, net: BackpropEstimator, X: Any, y: Any) -> None:
        """Keep the task of a fit that is not made."""
        # A number seeds a generator for each fit; others are drawn from, and cloned with the net.
        is_seeded = isinstance(net.random_state, int)
        task = (net if is_seeded else clone(net))._fit_task(X, y)
        self._keep(task if is_seeded else _with_copied_generator(task))

    def __call__(self, task: FitTask) -> FitResult:
        """Keep a task of a fit, which goes on with a network that is not trained."""
        self._keep(_with_copied_generator(task))
        history = History(loss=np.nan, best_loss=np.inf)
        return FitResult(task.solver, task.start.parameters.copy(), history, "one_epoch")

    def _keep(self, task: FitTask) -> None:
        self.tasks.append(self._shared.share(task))
        self.digests.append(_digest(self.tasks[-1]))

    def digest_of(self, task: FitTask) -> bytes:
        """Give the digest that a task would be recorded with."""
        return _digest(self._shared.share(task))


class _Replayer:
    """Gives each task that comes to be fitted the result of the recorded one that equals it."""

    def __init__(self, recorder: _Recorder, outcomes: list[TaskOutcome]) -> None:
        self._recorder = recorder
        self._made: dict[bytes, list[tuple[FitTask, TaskOutcome]]] = {}
        for digest, task, outcome in zip(recorder.digests, recorder.tasks, outcomes, strict=True):
            self._made.setdefault(digest, []).append((task, outcome))

    def __call__(self, task: FitTask) -> FitResult:
        made = self._made.get(self._recorder.digest_of(task))
        if made:
            recorded, outcome = made.pop(0)
            return outcome.conclude(recorded)
        # The last fit, of the best; or one that goes on from what an earlier one has learnt.
        with _fits_made_by(None):
            return fit(task)
