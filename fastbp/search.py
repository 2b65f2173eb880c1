"""`BackpropSearchCV`: a grid search that trains all of its networks side by side.

scikit-learn's `GridSearchCV` knows best how to split, score, rank and refit, through pipelines and
with metadata. What it does one fit after another is the training. So a search is gone through
twice. In the rehearsal every fit runs up to its training, which is taken down and not made; nothing
is scored. Then all of them are made at once. In the performance each fit, when it comes to its
training, finds it made. Transformers are fitted twice for that, networks once.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from joblib import parallel_config
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.utils.validation import indexable

from fastbp.held_out import Table
from fastbp.jobs import Fitted, Job
from fastbp.many import Trained, train_jobs
from fastbp.solvers import History
from fastbp.training import train, trainer

__all__ = ["BackpropSearchCV"]


class BackpropSearchCV(GridSearchCV):
    """Grid search with cross-validation that trains all of its networks side by side.

    The same interface as scikit-learn's `GridSearchCV`, and the same ``cv_results_``, but for the
    times: all networks are trained at once, on the CPU in ``n_jobs`` threads and without a copy of
    the data for each, on a GPU (``device="cuda"`` of the `BackpropRegressor`) in the same launches.
    The estimator may be a `BackpropRegressor`, or a pipeline or another meta-estimator round one.
    Transformers are fitted twice for each fit, since what they make is needed before the training
    and after it.

    Parameters
    ----------
    estimator : estimator
        A `BackpropRegressor`, or what has one inside.
    param_grid : dict or list of dict
        The parameters to try.
    scoring, refit, cv, verbose, error_score, return_train_score
        As of `GridSearchCV`.
    n_jobs : int or None, default=None
        Threads that networks are trained in on the CPU; each has one. The rest of a search, and the
        last fit of the best, is done in the calling thread.
    pre_dispatch
        Not looked at: there is one process.

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
        """
        X, y = indexable(X, y)
        self._splits = _SameSplits(check_cv(self.cv, y, classifier=is_classifier(self.estimator)))
        try:
            with parallel_config(backend="sequential"):
                jobs = self._rehearse(X, y, params)
            since = time.perf_counter()
            trained = train_jobs(jobs, self.n_jobs)
            self.training_time_ = time.perf_counter() - since
            with parallel_config(backend="sequential"), _trained_by(_HandOut(jobs, trained)):
                super().fit(X, y, **params)
        finally:
            del self._splits
        share = self.training_time_ / max(1, len(self.cv_results_["params"]) * self.n_splits_)
        self.cv_results_["mean_fit_time"] = self.cv_results_["mean_fit_time"] + share
        return self

    def _run_search(self, evaluate_candidates: Callable) -> None:
        """Try all candidates, on the splits of the rehearsal."""
        evaluate_candidates(ParameterGrid(self.param_grid), cv=self._splits)

    def _rehearse(self, X: Any, y: Any, params: dict[str, Any]) -> list[Job]:
        """Go through the search without training, and take down what would be trained."""
        rehearsal = GridSearchCV(
            self.estimator, self.param_grid, scoring=_no_score, refit=False, cv=self._splits
        )
        take_down = _TakeDown()
        with warnings.catch_warnings(), _trained_by(take_down):
            warnings.simplefilter("ignore")  # what they say will be said again
            try:
                rehearsal.fit(X, y, **params)
            except Exception:  # and what is wrong here will be wrong again
                return []
        return take_down.jobs


def _no_score(_estimator: Any, _X: Any, _y: Any = None, **_: Any) -> float:
    return 0.0


@contextmanager
def _trained_by(somebody: Callable[[Job], Fitted] | None) -> Iterator[None]:
    token = trainer.set(somebody)
    try:
        yield
    finally:
        trainer.reset(token)


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
        return getattr(self._splitter, name)


class _TakeDown:
    """A trainer for the rehearsal: it takes a job down and returns the untrained network."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._tables: dict[bytes, Table] = {}

    def __call__(self, job: Job) -> Fitted:
        # All points of a grid have the same rows in a fold: one copy of them is kept.
        table = self._tables.setdefault(job.table.digest(), job.table)
        self.jobs.append(job._replace(table=table))
        history = History(loss=np.nan, best_loss=np.inf)
        return Fitted(job.start.parameters.copy(), history, "one_epoch", None)


class _HandOut:
    """A trainer for the performance: it hands out what was trained, in the rehearsal's order."""

    def __init__(self, jobs: list[Job], trained: list[Trained]) -> None:
        self._made = iter(list(zip(jobs, trained, strict=True)))

    def __call__(self, job: Job) -> Fitted:
        made = next(self._made, None)
        if made is not None and _is_same(made[0], job):
            return made[1].conclude(made[0])
        with _trained_by(None):  # the last fit, of the best; or a search that goes another way now
            return train(job)


def _is_same(a: Job, b: Job) -> bool:
    """Whether two jobs ask for the same, but for what is drawn at random."""
    return a.network == b.network and a.table.digest() == b.table.digest()
