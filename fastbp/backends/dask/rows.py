"""From a user's collections to partitions: rows of X, y and sample weights that belong together."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastbp.backends.dask import is_collection

__all__ = [
    "blocks_of",
    "cut_between_rows",
    "lazily",
    "lengths_of",
    "without_rows",
    "zipped",
]


_SHAPES = {1: "(n_samples,)", 2: "(n_samples, n_columns)"}
_DIMENSIONS = {"X": (2,), "y": (1, 2), "sample_weight": (1,)}


def cut_between_rows(table: Any, name: str) -> Any:
    """Check that a collection is a table or a column, and cut it between its rows alone.

    Parameters
    ----------
    table : dask Array, DataFrame or Series
        The collection.
    name : str
        What it is called, for errors.

    Returns
    -------
    table : dask Array, DataFrame or Series
        The same rows, whole ones in each chunk.

    Raises
    ------
    ValueError
        If it has another number of dimensions than a table or a column.
    """
    n_dimensions = table.ndim
    if n_dimensions not in _DIMENSIONS[name]:
        wanted = " or ".join(_SHAPES[n] for n in _DIMENSIONS[name])
        raise ValueError(f"{name} is a Dask collection of shape {table.shape}; give {wanted}.")
    if n_dimensions == 2 and len(getattr(table, "numblocks", (1,))) == 2 and table.numblocks[1] > 1:
        table = table.rechunk({1: -1})
    return table


def without_rows(table: Any) -> Any:
    """Give a DataFrame of the same columns without rows; an array is given as it is."""
    meta = getattr(table, "_meta", None)
    return meta if hasattr(meta, "columns") else table


def zipped(X: Any, y: Any, sample_weight: Any) -> list[tuple[Any, Any, Any]]:
    """Cut collections into partitions of the same rows.

    Parameters
    ----------
    X : dask Array or DataFrame of shape (n_samples, n_features)
        The inputs.
    y : dask Array, DataFrame or Series, or array-like
        The targets.
    sample_weight : dask Array or Series, array-like, number or None
        The sample weights.

    Returns
    -------
    partitions : list of (X, y, sample_weight)
        Delayed blocks; weights may be None or a number.

    Raises
    ------
    ValueError
        If their partitions cannot be told to hold the same rows.
    """
    X = cut_between_rows(X, "X")
    if is_collection(sample_weight):
        sample_weight = cut_between_rows(sample_weight, "sample_weight")
    joined = _joined(X, y, sample_weight)
    if joined is not None:
        return joined
    blocks = blocks_of(X)
    others = []
    for name, other in (("y", y), ("sample_weight", sample_weight)):
        if other is None or np.isscalar(other):
            others.append([other] * len(blocks))
        else:
            others.append(blocks_of(_cut_as(X, other, name)))
            if len(others[-1]) != len(blocks):
                raise ValueError(
                    f"{name} has {len(others[-1])} partitions, and X has {len(blocks)}: make them "
                    "of the same rows each, by rechunk or repartition."
                )
    return list(zip(blocks, *others, strict=True))


def _joined(X: Any, y: Any, sample_weight: Any) -> list[tuple[Any, Any, Any]] | None:
    """Cut DataFrames as one: a file of which other columns are read is cut elsewhere.

    None where they are not all DataFrames and Series that can be joined row by row.
    """
    from dask import delayed

    others = [other for other in (y, sample_weight) if not (other is None or np.isscalar(other))]
    if not all(map(_is_frame, (X, *others))):
        return None
    frame, columns = X, []
    for number, other in enumerate(others):
        parts = [other[name] for name in other.columns] if other.ndim == 2 else [other]
        names = [f"fastbp {number} {i}" for i in range(len(parts))]
        columns.append(names if other.ndim == 2 else names[0])
        try:
            frame = frame.assign(**dict(zip(names, parts, strict=True)))
        except (ValueError, NotImplementedError):  # of other origins
            return None
    take, features = delayed(_take, pure=False), list(X.columns)
    return [
        (
            take(block, features),
            take(block, columns[0]),
            take(block, columns[1]) if len(columns) > 1 else sample_weight,
        )
        for block in blocks_of(frame)
    ]


def _is_frame(table: Any) -> bool:
    """Whether something is a Dask DataFrame or Series."""
    return is_collection(table) and hasattr(table, "_meta") and not hasattr(table, "chunks")


def _take(frame: Any, columns: Any) -> Any:
    return frame[columns]


def lazily(
    function: Callable[..., tuple], X: Any, arguments: tuple, likes: Sequence[np.ndarray]
) -> tuple:
    """Make Dask arrays of what a function gives for each partition's rows.

    Parameters
    ----------
    function : callable
        ``function(block, *arguments)`` gives arrays of as many rows as the block has.
    X : dask Array or DataFrame
        The rows.
    arguments : tuple
        What goes to all blocks alike.
    likes : sequence of ndarray
        Arrays of no rows, of the dtypes and other dimensions that the function gives.

    Returns
    -------
    arrays : tuple of dask Array
        One for each of ``likes``.
    """
    import dask.array as da
    from dask import delayed

    # Both are sent once, not with each block.
    common = delayed(_Common(function, arguments), pure=False, traverse=False)
    of_blocks = [delayed(_of_block, pure=False)(common, block) for block in blocks_of(X)]
    return tuple(
        da.concatenate(
            [
                da.from_delayed(found[i], (length, *like.shape[1:]), meta=like)
                for found, length in zip(of_blocks, lengths_of(X), strict=True)
            ],
            allow_unknown_chunksizes=True,
        )
        for i, like in enumerate(likes)
    )


class _Common(NamedTuple):
    """What all blocks have in common."""

    function: Callable[..., tuple]
    arguments: tuple


def _of_block(common: _Common, block: Any) -> tuple:
    return common.function(block, *common.arguments)


def lengths_of(table: Any) -> list[float]:
    """Say how many rows each partition has; NaN where that is not known before it is computed."""
    if hasattr(table, "chunks"):
        return list(table.chunks[0])
    return [np.nan] * table.npartitions


def _cut_as(X: Any, other: Any, name: str) -> Any:
    """Cut another collection, or an array in memory, where X is cut, if that is known."""
    lengths = lengths_of(X)
    is_known = not np.isnan(lengths).any()
    if not is_collection(other):
        if not is_known:
            raise ValueError(
                f"{name} is an array in memory, and the lengths of X's partitions are not known. "
                f"Give {name} as a Dask collection too, or X.to_dask_array(lengths=True)."
            )
        import dask.array as da

        other = np.asarray(other)
        if len(other) != sum(lengths):
            raise ValueError(f"{name} has {len(other)} rows, but X has {int(sum(lengths))}.")
        return da.from_array(other, chunks=(tuple(lengths), *other.shape[1:]))
    other = cut_between_rows(other, name)
    others = lengths_of(other)
    if not hasattr(other, "chunks") or not is_known or np.isnan(others).any() or others == lengths:
        return other
    if sum(others) != sum(lengths):
        raise ValueError(f"{name} has {int(sum(others))} rows, but X has {int(sum(lengths))}.")
    return other.rechunk({0: tuple(lengths)})


def blocks_of(table: Any) -> list[Any]:
    """Give a collection's partitions as Delayed ones."""
    return list(np.ravel(np.array(table.to_delayed(), object)))
