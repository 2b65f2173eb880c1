"""Rows that lie in the partitions of Dask collections, here or on a cluster's workers.

The solvers are the same: their objective's sums are made where the rows lie, by the CPU's kernels,
and added in an order that depends on the partitions alone. Dask is imported in this folder, and not
before somebody gives a collection.
"""

from typing import Any

__all__ = ["is_collection"]


def is_collection(array: Any) -> bool:
    """Whether something is a Dask collection, such as an array or a DataFrame."""
    return hasattr(array, "__dask_graph__")
