"""Rows to validate on: set aside from the training data or given, and how they stop a training."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from fastbp.backends.device import make_predictor
from fastbp.model.data import Data, Rows, as_data
from fastbp.model.network import Network
from fastbp.solvers.stopping import EarlyStopping

__all__ = ["Table", "ValidationSet", "make_early_stopping", "split"]


class CheckedTable(Protocol):
    """Checked rows, in memory or in partitions."""

    @property
    def y(self) -> NDArray:
        """The targets, in memory."""
        ...

    @property
    def weights(self) -> NDArray | None:
        """The sample weights, likewise."""
        ...

    def data(self, dtype: np.dtype) -> Rows:
        """Convert to what is trained on."""
        ...


class Table(NamedTuple):
    """Checked inputs, targets, and sample weights or None."""

    X: Any
    y: NDArray
    weights: NDArray | None

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return len(self.y)

    @property
    def y_shape(self) -> tuple[int, ...]:
        """Shape of the targets."""
        return self.y.shape

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.X.shape[1]

    @property
    def n_outputs(self) -> int:
        """Number of outputs of a network for it."""
        return 1 if self.y.ndim == 1 else self.y.shape[1]

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32."""
        return self.X.dtype

    def data(self, dtype: np.dtype) -> Data:
        """Convert to the arrays that kernels take."""
        return as_data(self.X, self.y, self.weights, dtype, is_finite=True)


class ValidationSet(NamedTuple):
    """Rows to validate on.

    Attributes
    ----------
    data : Rows
        The rows, as they are predicted for.
    y : ndarray of shape (n_val,) or (n_val, n_outputs)
        The targets as they were given, for the score.
    weights : ndarray of shape (n_val,) or None
        The sample weights, likewise.
    score : callable or None
        ``score(y, prediction, sample_weight=weights) -> float``, what ``early_stopping=True`` goes
        by; higher is better. None is minus the loss.
    """

    data: Rows
    y: NDArray
    weights: NDArray | None
    score: Callable[..., float] | None

    @classmethod
    def of(
        cls, table: "CheckedTable", dtype: np.dtype, score: Callable[..., float] | None
    ) -> "ValidationSet":
        """Convert checked rows, once for all starts.

        Raises
        ------
        ValueError
            If a number is too large for the dtype.
        """
        try:
            data = table.data(dtype)
        except ValueError as error:
            raise ValueError(f"In the data to validate on (X_val, y_val): {error}") from error
        return cls(data, table.y, table.weights, score)


def split(
    table: Table,
    fraction: float,
    random_state: np.random.RandomState,
    strata: NDArray | None = None,
) -> tuple[Table, Table]:
    """Set rows aside for validation, the same ones as scikit-learn's networks do.

    Parameters
    ----------
    table : Table
        All rows.
    fraction : float
        The part to set aside.
    random_state : RandomState
        Where the rows are drawn from.
    strata : ndarray of shape (n_samples,), default=None
        Classes, of each of which the same part is set aside.

    Returns
    -------
    table, validation : Table
        The rows to train on, and those set aside.

    Raises
    ------
    ValueError
        If one of them would be too small, or have no weight.
    """
    n_samples = table.X.shape[0]
    arrays = [array for array in table if array is not None]
    try:
        parts = train_test_split(
            *arrays, random_state=random_state, test_size=fraction, stratify=strata
        )
    except ValueError as error:
        raise ValueError(
            f"validation_fraction={fraction} cannot split {n_samples} rows for early stopping: "
            f"{error}"
        ) from error
    if table.weights is None:
        parts += [None, None]
    table, validation = Table(*parts[0::2]), Table(*parts[1::2])
    if len(validation.y) < 2:
        raise ValueError(
            f"The validation set is too small: validation_fraction={fraction} of {n_samples} rows. "
            "Increase validation_fraction or the size of the data."
        )
    for part in (table, validation):
        if part.weights is not None and not part.weights.any():
            raise ValueError(
                "sample_weight is zero for every row on one side of the validation split. Give "
                "more rows a positive weight, or set early_stopping=False."
            )
    return table, validation


def make_early_stopping(
    estimator: Any, network: Network, validation: ValidationSet, n_threads: int, device: str
) -> EarlyStopping:
    """Make the criterion that an estimator's ``early_stopping`` names.

    Parameters
    ----------
    estimator : BackpropEstimator
        Whose ``early_stopping``, ``tol`` and ``n_iter_no_change`` are read.
    network : Network
        The network.
    validation : ValidationSet
        The rows to validate on.
    n_threads : int
        Threads for predictions.
    device : {"cpu", "cuda"}
        Where predictions are made.

    Returns
    -------
    early_stopping : EarlyStopping
        True goes by the score, if there is one, and waits for improvement; Prechelt's criteria go
        by minus the loss.
    """
    predict = make_predictor(device, network, validation.data, n_threads)
    y, weights = validation.y, validation.weights
    loss, own = network.loss_record.value, network.loss_parameter_of_outputs
    targets = np.asarray(y, np.float64).reshape(len(y), -1)

    def minus_loss(prediction: NDArray[np.floating]) -> float:
        losses = loss(prediction.astype(np.float64), targets, own).sum(axis=1)
        return -float(np.average(losses, weights=weights))

    waits, given_score = not isinstance(estimator.early_stopping, str), validation.score

    def score_prediction(prediction: NDArray[np.floating]) -> float:
        if waits and given_score is not None:
            return given_score(y, prediction, sample_weight=weights)
        return minus_loss(prediction)

    def score(parameters: NDArray[np.floating]) -> float:
        prediction = predict(parameters)
        if not np.isfinite(prediction).all():
            return math.nan
        with np.errstate(over="ignore", invalid="ignore"):  # of a training that diverges
            return score_prediction(prediction)

    if waits:
        patience, tol = estimator.n_iter_no_change, float(estimator.tol)
        return EarlyStopping(score, "no_improvement", patience, tol)
    return EarlyStopping.by_name(estimator.early_stopping, score)
