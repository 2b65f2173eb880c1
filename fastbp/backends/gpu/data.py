"""Tables of data on the GPU."""

from collections.abc import Sequence

import numpy as np

from fastbp.backends.gpu.kernels import Inputs
from fastbp.machine import gpu
from fastbp.model.data import Data

__all__ = ["DeviceTables"]


class DeviceTables:
    """Tables of data on the device, one behind another.

    Parameters
    ----------
    tables : sequence of Data
        Of one dtype and one number of features and outputs, all dense or all sparse.

    Attributes
    ----------
    tables : sequence of Data
        The same, on the host.
    inputs : Inputs
        All of them on the device.
    starts : ndarray of shape (n_tables,)
        The number of each table's first row there.
    """

    def __init__(self, tables: Sequence[Data]) -> None:
        self.tables = tables
        self.starts = np.cumsum([0, *(table.n_samples for table in tables[:-1])])
        n_values = np.cumsum([0, *(len(table.values) for table in tables[:-1])])
        # Each table's rows begin where the last one's end: that is said once.
        row_starts = [
            table.row_starts[min(i, 1) :] + n
            for i, (table, n) in enumerate(zip(tables, n_values, strict=True))
        ]
        is_weighted = any(len(table.weights) for table in tables)
        weights = [
            np.ones(table.n_samples) if is_weighted and not len(table.weights) else table.weights
            for table in tables
        ]
        arrays = Inputs(
            X=np.concatenate([table.X for table in tables]),
            values=np.concatenate([table.values for table in tables]),
            columns=np.concatenate([table.columns for table in tables]),
            row_starts=np.concatenate(row_starts),
            y=np.concatenate([table.y for table in tables]),
            weights=np.concatenate(weights).astype(self.dtype),
        )
        self.inputs = Inputs(*(gpu.to_device(array) for array in arrays))

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32."""
        return self.tables[0].dtype
