"""What a solver leaves behind about its way."""

import math
from dataclasses import dataclass, field, replace

__all__ = ["History"]


@dataclass
class History:
    """The course of a training.

    Attributes
    ----------
    n_iter : int
        Iterations of the latest call: epochs, or steps of a batch solver.
    n_samples_seen : int
        Rows seen by the stochastic solvers, over all calls.
    loss : float
        The loss of the latest iteration; NaN before the first.
    loss_curve : list of float
        The loss at each iteration, over all calls.
    best_loss : float or None
        The lowest of them; None where a validation score decides instead.
    validation_scores : list of float or None
        The validation score after each epoch, where there is one.
    best_validation_score : float or None
        The highest of them.
    n_no_improvement : int
        Epochs in a row that brought less than the tolerance.
    """

    n_iter: int = 0
    n_samples_seen: int = 0
    loss: float = math.nan
    loss_curve: list[float] = field(default_factory=list)
    best_loss: float | None = None
    validation_scores: list[float] | None = None
    best_validation_score: float | None = None
    n_no_improvement: int = 0

    def copy(self) -> "History":
        """Copy, with lists of its own."""
        scores = self.validation_scores
        return replace(
            self,
            loss_curve=list(self.loss_curve),
            validation_scores=None if scores is None else list(scores),
        )
