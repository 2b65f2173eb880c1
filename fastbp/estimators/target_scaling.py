"""Targets brought to mean 0 and standard deviation 1 for the training, and predictions back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.estimators.target_summary import TargetSummary

__all__ = ["TargetScaling"]


@dataclass(frozen=True)
class TargetScaling:
    """Mean and scale of targets.

    Attributes
    ----------
    mean : float or ndarray of shape (n_outputs,)
        What is subtracted; 0 for a loss of positive targets.
    scale : float or ndarray of shape (n_outputs,)
        What is divided by then; 1 where a target does not vary.
    """

    mean: Any
    scale: Any

    @classmethod
    def of(cls, y: NDArray, sample_weight: NDArray | None, keeps_positive: bool) -> "TargetScaling":
        """Learn it from targets.

        Parameters
        ----------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        sample_weight : ndarray of shape (n_samples,) or None
            The weights of the rows.
        keeps_positive : bool
            Whether targets have to stay above 0: then they are divided by their mean alone.
        """
        return cls.of_summary(TargetSummary.of(y, sample_weight, False), keeps_positive)

    @classmethod
    def of_summary(cls, summary: TargetSummary, keeps_positive: bool) -> "TargetScaling":
        """Learn it from what is known of targets in partitions."""
        mean = np.asarray(summary.mean)
        if keeps_positive:
            return cls(np.zeros_like(mean)[()], np.where(mean > 0, mean, 1.0)[()])
        varies = np.asarray(summary.least < summary.largest)
        return cls(mean[()], np.where(varies, summary.deviation, 1.0)[()])

    def apply(self, y: NDArray) -> NDArray[np.float64]:
        """Scale targets of the shape that it was learnt from, or one row of them."""
        return (y - self.mean) / self.scale

    def undo_in_differences(self, differences: NDArray[np.floating]) -> NDArray[np.floating]:
        """Give differences of predictions, outputs in the last axis, in the targets' units."""
        return (differences * self.scale).astype(differences.dtype)

    def undo(self, prediction: Any) -> Any:
        """Give predictions in the units of the targets, in their own dtype."""
        given = prediction * self.scale + self.mean
        return (
            given.astype(prediction.dtype) if isinstance(prediction, np.ndarray) else float(given)
        )
