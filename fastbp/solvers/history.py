"""What is recorded of a training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["History"]


@dataclass
class History:
    """The history of a training: its losses, gradient norms, times and scores.

    Attributes
    ----------
    n_iter : int
        Iterations of the latest call: epochs, or steps of a batch solver.
    n_fun : int
        Evaluations of the loss over all rows in the latest call; an epoch counts as one.
    n_samples_seen : int
        Rows seen by the stochastic solvers, over all calls.
    loss : float
        The loss of the latest iteration, for a batch solver of the parameters it returns; NaN
        before the first.
    gradient_norm : float
        The largest entry of the gradient there, in absolute value; NaN where it was not worked out.
    loss_curve : list of float
        The loss at each iteration, over all calls.
    gradient_norm_curve : list of float
        The gradient norm after each iteration; NaN where it was not worked out.
    time_curve : list of float
        Seconds of training until the end of each iteration, over all calls.
    n_fun_curve : list of int
        Evaluations of the loss over all rows until the end of each iteration, over all calls.
    best_loss : float or None
        The lowest loss so far; None where a validation score decides instead.
    validation_scores : list of float or None
        The validation score after each iteration, where there is one.
    best_validation_score : float or None
        The highest of them.
    n_no_improvement : int
        Iterations in a row that brought less than the tolerance.

    Examples
    --------
    >>> from fastbp.solvers import History
    >>> history = History(best_loss=float("inf"))
    >>> history.record_losses([0.5, 0.49999], tol=1e-4)
    >>> history.loss_curve, history.best_loss, history.n_no_improvement
    ([0.5, 0.49999], 0.49999, 1)
    """

    n_iter: int = 0
    n_fun: int = 0
    n_samples_seen: int = 0
    loss: float = math.nan
    gradient_norm: float = math.nan
    loss_curve: list[float] = field(default_factory=list)
    gradient_norm_curve: list[float] = field(default_factory=list)
    time_curve: list[float] = field(default_factory=list)
    n_fun_curve: list[int] = field(default_factory=list)
    best_loss: float | None = None
    validation_scores: list[float] | None = None
    best_validation_score: float | None = None
    n_no_improvement: int = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A pickle of an earlier version lacks what was not recorded then.
        vars(self).update(vars(History()) | state)

    def record_losses(self, losses: Sequence[float], tol: float) -> None:
        """Record iterations' losses, and whether each is lower than the best by ``tol``."""
        self.loss = losses[-1]
        self.loss_curve.extend(losses)
        best, n_no_improvement = self.best_loss, self.n_no_improvement
        if best is None:
            return  # a validation score decides
        for loss in losses:
            n_no_improvement = n_no_improvement + 1 if loss > best - tol else 0
            if loss < best:
                best = loss
        self.best_loss, self.n_no_improvement = best, n_no_improvement

    def record_score(self, score: float, tol: float) -> bool:
        """Record a validation score; returns whether it is the best so far."""
        if self.validation_scores is None or self.best_validation_score is None:
            self.validation_scores, self.best_validation_score = [], -math.inf
        self.validation_scores.append(score)
        better = score >= self.best_validation_score + tol
        self.n_no_improvement = 0 if better else self.n_no_improvement + 1
        is_best = score > self.best_validation_score
        if is_best:
            self.best_validation_score = score
        return is_best

    def copy(self) -> "History":
        """Copy, with lists of its own."""
        lists: dict[str, Any] = {
            name: list(value) for name, value in vars(self).items() if isinstance(value, list)
        }
        return History(**vars(self) | lists)
