"""The border: whatever a user gives becomes arrays of the one kind that kernels take.

A kernel is compiled for each type of array it meets: read-only, strided or byte-swapped arrays
would each be one more compile of ten seconds. Here they all become C-ordered, native, aligned and
writable arrays of one dtype (a copy is made only where that is not so already), and a sparse matrix
keeps its three CSR arrays. Kernels read these arrays and never write to them: so one that lacks
only the leave to write, such as a file in memory, is not copied but said to be writable.
"""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

__all__ = ["Data", "as_data", "batch_divisor", "batch_divisors"]


#: A table of numbers.
Matrix = np.ndarray[tuple[int, int], np.dtype[np.floating]]


class Data(NamedTuple):
    """A table of rows as the kernels see it: dense or CSR, of one type for both.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
        The dense inputs; no rows where they are sparse.
    values, columns, row_starts : ndarray
        The CSR arrays: row i holds ``values[row_starts[i]:row_starts[i + 1]]`` in ``columns``.
        Empty where the inputs are dense.
    y : ndarray of shape (n_samples, n_outputs)
        The targets; no rows where there are none.
    weights : ndarray of shape (n_samples,)
        The sample weights; empty where all are 1.
    mean_weight : float
        The mean of the sample weights: what a batch of one row is divided by.
    """

    X: Matrix
    values: NDArray[np.floating]
    columns: NDArray[np.int64]
    row_starts: NDArray[np.int64]
    y: Matrix
    weights: NDArray[np.floating]
    mean_weight: float

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return max(len(self.X), len(self.row_starts) - 1)

    @property
    def total_weight(self) -> float:
        """Sum of the sample weights."""
        weights = self.weights
        return float(weights.sum(dtype=np.float64)) if len(weights) else float(self.n_samples)

    def total_weight_of(self, rows: NDArray[np.int64]) -> float:
        """Sum of the sample weights of some rows."""
        weights = self.weights
        return float(weights[rows].sum(dtype=np.float64)) if len(weights) else float(len(rows))

    def digest(self) -> bytes:
        """Equal for data that hold the same, and almost certainly for no others."""
        digest = hashlib.blake2b(digest_size=16)
        for array in self[:-1]:
            digest.update(repr((array.shape, array.dtype.str)).encode())
            digest.update(array.data)
        return digest.digest()

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32, of every floating-point array."""
        return self.X.dtype


# A batch's sums are divided by its sum of sample weights. For a batch of one row that would cancel
# the weight; there the mean weight of all rows stands instead, so that the weight scales the step.
# A batch whose weights are all 0 makes no step, and a single such row still counts in the loss.


def batch_divisor(n_rows: int, total_weight: float, mean_weight: float) -> float:
    """Give what a batch's sums are divided by; 0 for one that makes no step. Kernels compile it."""
    if total_weight == 0.0 or n_rows > 1:
        return total_weight
    return mean_weight


def batch_divisors(
    data: Data, rows: NDArray[np.int64], batch_size: int
) -> tuple[NDArray[np.float64], int]:
    """Give what the sums of each batch are divided by, and how many rows count.

    Parameters
    ----------
    data : Data
        Whose sample weights they are.
    rows : ndarray of shape (n_rows,)
        Row numbers, in the order to be visited.
    batch_size : int
        Rows of a batch; the last may be smaller.

    Returns
    -------
    divisors : ndarray of shape (n_batches,)
        `batch_divisor` of each batch.
    n_counted : int
        Rows in the mean loss.
    """
    starts = np.arange(0, len(rows), batch_size)
    sizes = np.diff([*starts, len(rows)])
    if not len(data.weights):
        return sizes.astype(np.float64), len(rows)
    totals = np.add.reduceat(data.weights[rows].astype(np.float64), starts)
    n_counted = int(sizes[(totals > 0) | (sizes == 1)].sum())
    totals[(totals > 0) & (sizes == 1)] = data.mean_weight
    return totals, n_counted


def _checked(csr: Any) -> Any:
    """Refuse a CSR matrix whose indices point beside it: kernels trust them."""
    starts, columns = csr.indptr, csr.indices
    if (
        starts[0] != 0
        or starts[-1] > min(len(columns), len(csr.data))
        or (np.diff(starts) < 0).any()
        or (len(columns) and not 0 <= columns.min() <= columns.max() < csr.shape[1])
    ):
        raise ValueError(
            "X is a sparse matrix whose indices do not fit its shape. X.check_format() says which; "
            "make it anew, from its dense table or its rows and columns."
        )
    return csr


def _targets(y: ArrayLike, n_samples: int) -> NDArray:
    targets = np.asarray(y)
    if targets.ndim not in (1, 2) or len(targets) != n_samples:
        raise ValueError(
            f"y has shape {targets.shape}, but X has {n_samples} rows: give (n_samples,) or "
            "(n_samples, n_outputs)."
        )
    return targets.reshape(n_samples, -1)


def _weights(sample_weight: ArrayLike, n_samples: int) -> NDArray:
    weights = np.asarray(sample_weight)
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, but X has {n_samples} rows: give one weight "
            "a row."
        )
    if (weights < 0).any() or not weights.any():
        raise ValueError("sample_weight holds a negative weight, or all weights are 0.")
    return weights


class _Unlocked:
    """The memory of an array as a writable one: for what is never written, which would crash."""

    def __init__(self, array: NDArray) -> None:
        self._array = array  # whose memory it is
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def _own(array: Any, dtype: np.typing.DTypeLike) -> NDArray:
    if type(array) in (np.ndarray, np.memmap) and array.dtype == dtype:
        flags = array.flags
        if flags.carray:
            return np.asarray(array)  # it is all that, and the rest takes 10 microseconds
        if flags.c_contiguous and flags.aligned:
            return np.asarray(_Unlocked(array))
    if np.iscomplexobj(array):
        raise ValueError("Complex numbers cannot be trained on or predicted for.")
    with np.errstate(over="ignore"):  # as_data names what overflows
        return np.require(array, dtype=dtype, requirements=["C", "A", "W", "E"])


_NO_INDICES = np.empty(0, np.int64)


def as_data(
    X: Any,
    y: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    dtype: np.typing.DTypeLike | None = None,
    is_finite: bool = False,
) -> Data:
    """Make `Data` of inputs, targets and weights, whose shapes and signs are checked here.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        The inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        The targets.
    sample_weight : array-like of shape (n_samples,), default=None
        The sample weights; None means 1 for all.
    dtype : dtype, default=None
        float64 or float32; None takes float32 if X is float32, else float64.
    is_finite : bool, default=False
        Whether all numbers are known to be finite, so that only a conversion can make them too
        large.

    Returns
    -------
    data : Data
        The same numbers in arrays that kernels take.

    Raises
    ------
    ValueError
        If X is no table with rows and columns, y or sample_weight have not as many rows, a weight
        is negative or all are 0, or a number is not finite or too large for the dtype.
    """
    if dtype is None:
        dtype = np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64
    if sparse.issparse(X):
        csr = _checked(X.tocsr())
        dense = np.empty((0, csr.shape[1]), dtype=dtype)
        values, columns, row_starts = csr.data, csr.indices, csr.indptr
        n_samples = csr.shape[0]
    else:
        dense = _own(X, dtype)
        if dense.ndim != 2:
            raise ValueError(f"X has shape {dense.shape}, but a table is (n_samples, n_features).")
        values, columns, row_starts = np.empty(0, dtype), _NO_INDICES, _NO_INDICES
        n_samples = len(dense)
    if n_samples == 0 or dense.shape[1] == 0:
        shape = (n_samples, dense.shape[1])
        raise ValueError(f"X has shape {shape}: there is nothing to compute with.")
    targets = np.empty((0, 1), dtype) if y is None else _targets(y, n_samples)
    weights = np.empty(0, dtype)
    if sample_weight is not None:
        weights = _weights(sample_weight, n_samples)
    data = Data(
        X=dense,
        values=_own(values, dtype),
        columns=_own(columns, np.int64),
        row_starts=_own(row_starts, np.int64),
        y=_own(targets, dtype),
        weights=_own(weights, dtype),
        mean_weight=1.0 if sample_weight is None else float(np.mean(weights, dtype=np.float64)),
    )
    for name, given in (("X", X), ("values", X), ("y", y), ("weights", sample_weight)):
        if is_finite and getattr(given, "dtype", dtype) == dtype:
            continue
        if not np.isfinite(getattr(data, name)).all():
            shown = {"values": "X", "weights": "sample_weight"}.get(name, name)
            raise ValueError(
                f"{shown} holds NaN, infinity or a number too large for {np.dtype(dtype)}. Remove "
                "or impute those, or scale it first (StandardScaler, scale_target=True)."
            )
    return data
