"""How a classifier's labels become the targets of a network, and its outputs labels again."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import type_of_target

from fastbp.machine.lazy import lazy

__all__ = ["Labels", "accuracy", "class_accuracy", "missing_label"]

_SUM_TOLERANCE = 1e-3  # of float32 probabilities that were rounded to print


class Labels:
    """The classes of a training, and their encoding.

    Two classes are one output, the probability of the second; three or more are an output each,
    which sum to 1. In a multilabel problem each output is a probability of its own.

    Parameters
    ----------
    y : array-like or sparse matrix
        Labels, a 0/1 matrix of several labels a row, or the classes themselves.
    is_soft : bool, default=False
        Whether y holds the probability of each class, (n_samples, n_classes), instead.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The classes, sorted.
    binarizer : LabelBinarizer or None
        What encodes labels; None for probabilities.

    Raises
    ------
    ValueError
        If y holds what are no labels.
    """

    def __init__(self, y: Any, is_soft: bool = False) -> None:
        self.binarizer = None
        if is_soft:
            self.classes = np.arange(y.shape[1])
            return
        try:
            kind = type_of_target(y, input_name="y")
        except TypeError as error:  # labels that cannot be sorted
            raise ValueError(
                f"y mixes kinds of labels ({error}). Give one kind, all text for instance."
            ) from error
        if kind.startswith("continuous"):
            raise ValueError(
                f"Unknown label type: {kind}. y holds numbers that are no labels. Take "
                "BackpropRegressor for them, or sort them into classes first (KBinsDiscretizer)."
            )
        if "multioutput" in kind:
            raise ValueError(
                "Multioutput target data is not supported with label binarization: y has several "
                "columns of labels. Train a classifier for each (MultiOutputClassifier), or give "
                "a matrix of 0 and 1 with a column for each label."
            )
        self.binarizer = LabelBinarizer().fit(y)
        self.classes = self.binarizer.classes_

    @property
    def loss(self) -> str:
        """Name of the loss that goes with them."""
        has_softmax = self.binarizer is None or self.binarizer.y_type_ == "multiclass"
        return "cross_entropy" if has_softmax else "binary_cross_entropy"

    @property
    def is_multilabel(self) -> bool:
        """Whether a row may have several labels, or none."""
        return self.binarizer is not None and self.binarizer.y_type_.startswith("multilabel")

    def encode(self, y: Any, dtype: np.dtype) -> NDArray[np.floating]:
        """Encode labels that are among the classes.

        Parameters
        ----------
        y : array-like or sparse matrix of shape (n_samples,) or (n_samples, n_classes)
            Labels, or the probability of each class.
        dtype : dtype
            Of the targets.

        Returns
        -------
        targets : ndarray of shape (n_samples, n_outputs)
            What the network is to predict.

        Raises
        ------
        ValueError
            If there are other labels, or rows whose probabilities do not sum to 1.
        """
        if self.binarizer is not None:
            return self.binarizer.transform(y).astype(dtype)
        if y.shape[1] != len(self.classes):
            raise ValueError(
                f"y has {y.shape[1]} columns of probabilities, and there are {len(self.classes)} "
                "classes: give one column a class."
            )
        wrong = np.flatnonzero((np.abs(y.sum(axis=1) - 1) > _SUM_TOLERANCE) | (y < 0).any(axis=1))
        if len(wrong):
            row = wrong[0]
            raise ValueError(
                f"y[{row}] is {y[row]}, but with soft_labels=True a row holds the probability of "
                "each class: numbers of 0 or more that sum to 1. Divide each row by its sum."
            )
        return (y / y.sum(axis=1, keepdims=True)).astype(dtype)

    def encode_one(self, label: Any, dtype: np.dtype) -> NDArray[np.floating]:
        """Encode one row's label, or labels, as `encode` does."""
        if self.binarizer is None or self.is_multilabel:
            return self.encode(np.asarray(label, np.float64).reshape(1, -1), dtype)[0]
        try:
            number = self._numbers[label]
        except (KeyError, TypeError):
            raise ValueError(
                f"`y` has classes not in `self.classes_`: {label!r} is none of {self.classes}."
            ) from None
        if len(self.classes) <= 2:
            return np.array([number], dtype)
        target = np.zeros(len(self.classes), dtype)
        target[number] = 1
        return target

    @lazy
    def _numbers(self) -> dict:
        return {label: i for i, label in enumerate(self.classes.tolist())}

    def decode(self, outputs: NDArray[np.floating]) -> Any:
        """Give the labels that a network's outputs mean.

        Parameters
        ----------
        outputs : ndarray of shape (n_samples, n_outputs)
            Probabilities.

        Returns
        -------
        y : ndarray or CSR matrix of shape (n_samples,) or (n_samples, n_classes)
            The class of the highest probability; the second of two where it is above 1/2. In a
            multilabel problem all labels that are above 1/2.
        """
        if self.binarizer is None:
            return self.classes[outputs.argmax(axis=1)]
        return self.binarizer.inverse_transform(
            outputs.ravel() if outputs.shape[1] == 1 else outputs
        )

    def number_of_each(self, targets: NDArray[np.floating]) -> NDArray[np.floating]:
        """Say how much of each class there is in each row: (n_samples, n_classes)."""
        if targets.shape[1] > 1:
            return targets
        both = np.hstack([1 - targets, targets])
        return both[:, : len(self.classes)]


def accuracy(
    y: NDArray, outputs: NDArray[np.floating], sample_weight: NDArray | None = None
) -> float:
    """Part of the rows whose outputs mean what their targets mean.

    Parameters
    ----------
    y : ndarray of shape (n_samples, n_outputs)
        The targets, as `Labels.encode` gives them.
    outputs : ndarray of shape (n_samples, n_outputs)
        Probabilities.
    sample_weight : ndarray of shape (n_samples,), default=None
        Weights of the rows.

    Returns
    -------
    accuracy : float
        From 0 to 1; of several labels a row, all have to be right.
    """
    is_right = ((outputs > 0.5) == (y > 0.5)).all(axis=1)
    return float(np.average(is_right, weights=sample_weight))


def class_accuracy(
    y: NDArray, outputs: NDArray[np.floating], sample_weight: NDArray | None = None
) -> float:
    """Do as `accuracy` does, of outputs that sum to 1: the highest one counts."""
    is_right = outputs.argmax(axis=1) == y.argmax(axis=1)
    return float(np.average(is_right, weights=sample_weight))


def missing_label(y: Any) -> int | None:
    """Find the first row whose label is None or NaN; None where there is none."""
    if y is None or sparse.issparse(y):
        return None
    labels = np.asarray(y)
    if labels.dtype.kind == "f":
        missing = np.flatnonzero(np.isnan(labels).reshape(len(labels), -1).any(axis=1))
        return int(missing[0]) if len(missing) else None
    if labels.dtype.kind != "O":
        return None
    for place, label in np.ndenumerate(labels):
        if label is None or label != label:  # noqa: PLR0124 - NaN alone differs from itself
            return place[0] if place else 0
    return None
