"""When to stop, and why: the reasons by name, and the rule of no improvement."""

import math
from typing import Literal

from fastbp.solvers.history import History

__all__ = ["StopReason", "note_loss", "note_validation_score"]

StopReason = Literal[
    "tolerance",  # the loss fell by less than tol, n_iter_no_change times in a row
    "validation",  # the validation score rose by less than tol as often
    "learning_rate",  # so it was, and the adaptive learning rate was at its least
    "gradient_norm",  # the gradient's largest entry fell below the tolerance
    "max_iter",  # the iterations allowed were used up
    "max_fun",  # the evaluations allowed were used up
    "line_search",  # no lower point was found along the last direction
    "one_epoch",  # partial_fit does one
    "interrupted",  # Ctrl-C
    "diverged",  # the loss or the parameters became NaN or infinite
]


def note_loss(history: History, loss: float, tol: float) -> None:
    """Take down an epoch's loss and whether it is lower than the best by ``tol``."""
    history.loss = loss
    history.loss_curve.append(loss)
    if history.best_loss is None:
        return  # a validation score decides
    history.n_no_improvement = history.n_no_improvement + 1 if loss > history.best_loss - tol else 0
    history.best_loss = min(history.best_loss, loss)


def note_validation_score(history: History, score: float, tol: float) -> bool:
    """Take down a validation score, and return whether it is the best so far."""
    if history.validation_scores is None or history.best_validation_score is None:
        history.validation_scores, history.best_validation_score = [], -math.inf
    history.validation_scores.append(score)
    history.n_no_improvement = (
        history.n_no_improvement + 1 if score < history.best_validation_score + tol else 0
    )
    is_best = score > history.best_validation_score
    if is_best:
        history.best_validation_score = score
    return is_best
