"""The curves that an estimator keeps of its training, under the names they are drawn with."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier

from fastbp.plotting.inside import network_inside
from fastbp.solvers.registry import SOLVERS

__all__ = ["TrainingCurves", "X_AXES"]

#: What curves can be drawn over: the name of the values, and the estimator's attribute.
X_AXES = {"epochs": None, "time": "time_curve_", "evaluations": "n_fun_curve_"}


@dataclass(frozen=True)
class TrainingCurves:
    """The curves of one training.

    Attributes
    ----------
    loss : array-like of shape (n_iter,)
        The loss at each iteration.
    name : str, default=""
        Whose they are; for the legend.
    validation_loss : array-like of shape (n_iter,), default=None
        The loss on the validation rows after each iteration.
    validation_score : array-like of shape (n_iter,), default=None
        Another score on the validation rows.
    score_name : str, default="score"
        What that is.
    gradient_norm : array-like of shape (n_iter,), default=None
        The largest entry of the gradient; NaN where it was not worked out.
    time : array-like of shape (n_iter,), default=None
        Seconds until the end of each iteration.
    evaluations : array-like of shape (n_iter,), default=None
        Evaluations of the loss over all rows until then.
    kept : int, default=None
        The iteration, counted from 1, whose weights early stopping has restored.
    iteration_name : str, default="iteration"
        What an iteration is called.
    """

    loss: ArrayLike
    name: str = ""
    validation_loss: ArrayLike | None = None
    validation_score: ArrayLike | None = None
    score_name: str = "score"
    gradient_norm: ArrayLike | None = None
    time: ArrayLike | None = None
    evaluations: ArrayLike | None = None
    kept: int | None = None
    iteration_name: str = "iteration"

    @classmethod
    def of(cls, estimator: Any, name: str = "") -> "TrainingCurves":
        """Take them from a fitted estimator.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        ValueError
            If it keeps no loss curve.
        """
        net = network_inside(estimator).estimator
        loss = getattr(net, "loss_curve_", None)
        if loss is None:
            raise ValueError(
                f"{type(net).__name__} keeps no loss_curve_, so there is nothing to draw. "
                "LossCurveDisplay draws estimators that do, such as a fitted BackpropRegressor."
            )
        solver = SOLVERS.get(getattr(net, "solver", ""))
        given: dict[str, Any] = {}
        scores = getattr(net, "validation_scores_", None)
        if scores:
            values = np.asarray(scores, dtype=float)
            if _goes_by_loss(net):
                given["validation_loss"] = -values
            else:
                given["validation_score"] = values
                given["score_name"] = "accuracy" if is_classifier(net) else "R²"
            if np.isfinite(values).any():
                given["kept"] = len(loss) - len(values) + int(np.nanargmax(values)) + 1
        return cls(
            loss,
            name,
            gradient_norm=getattr(net, "gradient_norm_curve_", None),
            time=getattr(net, "time_curve_", None),
            evaluations=getattr(net, "n_fun_curve_", None),
            iteration_name="epoch" if solver is not None and solver.is_stochastic else "iteration",
            **given,
        )

    def positions(self, x: str) -> NDArray[np.float64]:
        """Give where each iteration stands on an x axis: one of `X_AXES`."""
        n_iter = len(np.asarray(self.loss))
        given = {
            "epochs": np.arange(1, n_iter + 1),
            "time": self.time,
            "evaluations": self.evaluations,
        }[x]
        if given is None or len(np.asarray(given)) != n_iter:
            raise ValueError(
                f"x={x!r} needs {X_AXES[x]}, with an entry for each iteration, and "
                f"{self.name or 'the estimator'} has none. Take x='epochs', or fit with fastbp."
            )
        return np.asarray(given, dtype=float)


def _goes_by_loss(net: Any) -> bool:
    """Whether validation scores are minus the loss: of Prechelt's criteria, and without a score."""
    by_criterion = isinstance(getattr(net, "early_stopping", None), str)
    return by_criterion or getattr(net, "_score_for_early_stopping", "") is None
