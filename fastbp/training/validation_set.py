"""Rows to validate on: set aside from the training data or given, and how they stop a training."""

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from fastbp.backends.cpu.predict import predictor
from fastbp.model.data import Data, as_data
from fastbp.model.losses import LOSSES
from fastbp.model.network import Network
from fastbp.solvers.stopping import EarlyStopping

__all__ = ["Table", "early_stopping", "split"]


class Table(NamedTuple):
    """Validated data: inputs, targets, and weights or None."""

    X: Any
    y: NDArray
    weights: NDArray | None

    def data(self, dtype: np.dtype) -> Data:
        """Convert to the arrays that kernels take."""
        return as_data(self.X, self.y, self.weights, dtype, is_finite=True)

    def digest(self) -> bytes:
        """Equal for tables that hold the same."""
        digest = hashlib.blake2b(digest_size=16)
        X = self.X
        arrays = (X.data, X.indices, X.indptr) if sparse.issparse(X) else (X,)
        for array in (*arrays, self.y, *(() if self.weights is None else (self.weights,))):
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.digest()


def split(
    table: Table, fraction: float, random_state: np.random.RandomState
) -> tuple[Table, Table]:
    """Set rows aside for validation, the same ones as MLPRegressor does.

    Parameters
    ----------
    table : Table
        All rows.
    fraction : float
        The part to set aside.
    random_state : RandomState
        Where the rows are drawn from.

    Returns
    -------
    table, held_out : Table
        The rows to train on, and those set aside.

    Raises
    ------
    ValueError
        If one of them would be too small, or have no weight.
    """
    n_samples = table.X.shape[0]
    arrays = [array for array in table if array is not None]
    try:
        parts = train_test_split(*arrays, random_state=random_state, test_size=fraction)
    except ValueError as error:
        raise ValueError(
            f"validation_fraction={fraction} cannot split {n_samples} rows for early stopping: "
            f"{error}"
        ) from error
    if table.weights is None:
        parts += [None, None]
    table, held_out = Table(*parts[0::2]), Table(*parts[1::2])
    if len(held_out.y) < 2:
        raise ValueError(
            f"The validation set is too small: validation_fraction={fraction} of {n_samples} rows. "
            "Increase validation_fraction or the size of the data."
        )
    for part in (table, held_out):
        if part.weights is not None and not part.weights.any():
            raise ValueError(
                "sample_weight is zero for every row on one side of the validation split. Give "
                "more rows a positive weight, or set early_stopping=False."
            )
    return table, held_out


def early_stopping(
    estimator: Any,
    network: Network,
    held_out: Table,
    dtype: np.dtype,
    n_threads: int,
    device: str = "cpu",
) -> EarlyStopping:
    """Make the rule that an estimator's ``early_stopping`` names, over rows held out.

    Parameters
    ----------
    estimator : BackpropRegressor
        Whose ``early_stopping``, ``tol`` and ``n_iter_no_change`` are read.
    network : Network
        The network.
    held_out : Table
        The rows to validate on.
    dtype : dtype
        Of the parameters.
    n_threads : int
        Threads for predictions.
    device : {"cpu", "cuda"}, default="cpu"
        Where predictions are made.

    Returns
    -------
    early_stopping : EarlyStopping
        True scores by R^2 and waits for improvement; Prechelt's rules score by minus the loss.
    """
    predict_rows = predictor(network, as_data(held_out.X, dtype=dtype), n_threads, device)
    value, parameters = LOSSES[network.loss].value, network.loss_parameter_of_outputs
    y = np.asarray(held_out.y, np.float64).reshape(len(held_out.y), -1)

    def r2(prediction: NDArray[np.floating]) -> float:
        return r2_score(held_out.y, prediction, sample_weight=held_out.weights)

    def minus_loss(prediction: NDArray[np.floating]) -> float:
        losses = value(prediction.astype(np.float64), y, parameters).sum(axis=1)
        return -float(np.average(losses, weights=held_out.weights))

    waits = estimator.early_stopping is True
    score_prediction = r2 if waits else minus_loss

    def score(parameters: NDArray[np.floating]) -> float:
        prediction = predict_rows(parameters)
        if not np.isfinite(prediction).all():
            return math.nan
        with np.errstate(over="ignore", invalid="ignore"):  # of a training that diverges
            return score_prediction(prediction)

    if waits:
        patience, tol = estimator.n_iter_no_change, estimator.tol
        return EarlyStopping(score, "no_improvement", patience, tol)
    return EarlyStopping.by_name(estimator.early_stopping, score)
