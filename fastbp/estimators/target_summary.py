"""What has to be known of all targets before one is trained on, partition by partition."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["TargetSummary"]


class TargetSummary(NamedTuple):
    """What targets are like, of a partition or of all; rows of weight 0 count as rows alone.

    Attributes
    ----------
    n_samples : int
        Number of rows.
    total_weight : float
        Sum of the sample weights.
    mean, deviation : ndarray of shape () or (n_outputs,)
        Weighted mean and standard deviation; 0 of labels.
    least, largest : ndarray of shape () or (n_outputs,)
        The smallest and the largest target.
    labels : ndarray or None
        The labels, sorted; of several columns, some rows. None of numbers.
    label_weights : ndarray or None
        The sum of the sample weights of each label.
    """

    n_samples: int
    total_weight: float
    mean: Any = 0.0
    deviation: Any = 0.0
    least: Any = np.inf
    largest: Any = -np.inf
    labels: NDArray | None = None
    label_weights: NDArray | None = None

    @classmethod
    def of(cls, y: Any, sample_weight: Any, has_labels: bool) -> "TargetSummary":
        """Summarise a partition."""
        y = np.asarray(y)
        weights = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, float)
        weights = np.broadcast_to(weights, len(y))
        summary = cls(len(y), float(weights.sum()))
        if not summary.total_weight > 0:
            return summary
        if has_labels and y.ndim == 1:
            labels, numbers = np.unique(y, return_inverse=True)
            return summary._replace(labels=labels, label_weights=np.bincount(numbers, weights))
        if has_labels:
            summary = summary._replace(labels=y[:1])
        if y.dtype.kind not in "fiub":  # which the checks refuse
            return summary
        numbers, weights = y[weights > 0].astype(float), weights[weights > 0]
        mean = np.average(numbers, axis=0, weights=weights)
        # Divided first, so that no square overflows.
        unit = np.maximum(np.abs(numbers - mean).max(axis=0), np.finfo(float).tiny)
        squares = np.average(((numbers - mean) / unit) ** 2, axis=0, weights=weights)
        return summary._replace(
            mean=mean,
            deviation=unit * np.sqrt(squares),
            least=numbers.min(axis=0),
            largest=numbers.max(axis=0),
        )

    def __or__(self, other: "TargetSummary") -> "TargetSummary":
        """Summarise two partitions together."""
        if not (self.total_weight > 0 and other.total_weight > 0):
            one = self if self.total_weight > 0 else other
            return one._replace(n_samples=self.n_samples + other.n_samples)
        total = self.total_weight + other.total_weight
        parts = self.total_weight / total, other.total_weight / total
        mean = parts[0] * self.mean + parts[1] * other.mean
        between = np.sqrt(parts[0] * parts[1]) * (self.mean - other.mean)
        within = np.sqrt(parts[0]) * self.deviation, np.sqrt(parts[1]) * other.deviation
        labels, label_weights = self.labels, self.label_weights
        if label_weights is not None:
            both = np.concatenate([self.labels, other.labels])
            labels, numbers = np.unique(both, return_inverse=True)
            weights = np.concatenate([label_weights, other.label_weights])
            label_weights = np.bincount(numbers, weights)
        return TargetSummary(
            self.n_samples + other.n_samples,
            total,
            mean,
            np.hypot(np.hypot(*within), between),
            np.minimum(self.least, other.least),
            np.maximum(self.largest, other.largest),
            labels,
            label_weights,
        )
