"""`BackpropSearchCV`: a grid search that trains all of its networks side by side.

scikit-learn's `GridSearchCV` knows best how to split, score, rank and refit, through pipelines and
with metadata. What it does one fit after another is the training. So a search is gone through
twice. In the rehearsal every fit runs up to its training, which is taken down and not made; scores
are thrown away. Then all of them are made at once. In the performance each fit, when it comes to
its training, finds it made. Transformers are fitted twice for that, networks once.
"""

import copy
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from joblib import parallel_config
from numpy.typing import ArrayLike
from sklearn.base import is_classifier
from sklearn.model_selection import GridSearchCV, check_cv
from sklearn.utils.validation import indexable

from fastbp.model_selection.fit_many import SharedTables, Trained, train_jobs
from fastbp.solvers import History
from fastbp.training.fit import train, trainer
from fastbp.training.task import Fitted, Job

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
        self._validate_params()
        X, y = indexable(X, y)
        cv: Any = self.cv  # type: ignore[has-type]
        # In both goes the splits are the same, and so is what is drawn without a seed.
        self.cv = _SameSplits(check_cv(cv, y, classifier=is_classifier(self.estimator)))
        global_state = np.random.get_state()  # noqa: NPY002 - of nets with random_state=None
        try:
            with parallel_config(backend="sequential"):
                jobs, digests = self._rehearse(X, y, params)
            since = time.perf_counter()
            trained = train_jobs(jobs, self.n_jobs)
            self.training_time_ = time.perf_counter() - since
            np.random.set_state(global_state)  # noqa: NPY002
            with (
                parallel_config(backend="sequential"),
                _trained_by(_HandOut(digests, jobs, trained)),
            ):
                super().fit(X, y, **params)
        finally:
            self.cv = cv
        share = self.training_time_ / max(1, len(self.cv_results_["params"]) * self.n_splits_)
        self.cv_results_["mean_fit_time"] = self.cv_results_["mean_fit_time"] + share
        return self

    def _rehearse(self, X: Any, y: Any, params: dict[str, Any]) -> tuple[list[Job], list[bytes]]:
        """Go through the search without training, and take down what would be trained."""
        rehearsal = GridSearchCV(
            self.estimator, self.param_grid, scoring=self.scoring, refit=False, cv=self.cv
        )
        take_down = _TakeDown()
        with warnings.catch_warnings(), _trained_by(take_down):
            warnings.simplefilter("ignore")  # what they say will be said again
            try:
                rehearsal.fit(X, y, **params)
            except Exception:  # and what is wrong here will be wrong again
                return [], []
        return take_down.jobs, take_down.digests


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
        if name.startswith("_"):  # what pickling looks for before there is a splitter
            raise AttributeError(name)
        return getattr(self._splitter, name)


class _TakeDown:
    """A trainer for the rehearsal: it takes a job down and returns the untrained network."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.digests: list[bytes] = []  # before the training moves the generators on
        self._tables = SharedTables()  # all points of a grid have the same rows in a fold

    def __call__(self, job: Job) -> Fitted:
        generator = copy.deepcopy(job.start.random_state)  # it may be used before the training
        job = job._replace(start=job.start._replace(random_state=generator))
        self.jobs.append(self._tables.share(job))
        self.digests.append(job.digest())
        history = History(loss=np.nan, best_loss=np.inf)
        return Fitted(job.start.parameters.copy(), history, "one_epoch", None)


class _HandOut:
    """A trainer for the performance: it hands out what was trained, to whom asks for just that."""

    def __init__(self, digests: list[bytes], jobs: list[Job], trained: list[Trained]) -> None:
        self._made: dict[bytes, list[tuple[Job, Trained]]] = {}
        for digest, job, made in zip(digests, jobs, trained, strict=True):
            self._made.setdefault(digest, []).append((job, made))

    def __call__(self, job: Job) -> Fitted:
        made = self._made.get(job.digest())
        if made:
            taken_down, trained = made.pop(0)
            return trained.conclude(taken_down)
        # The last fit, of the best; or one that goes on from what an earlier one has learnt.
        with _trained_by(None):
            return train(job)
