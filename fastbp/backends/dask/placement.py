"""Which worker makes which partitions: as many as it has threads for, and neighbours together.

Dask gives each to whoever is free. Then some workers hold half as many again as others, for whom
all wait at each evaluation, and of partitions that are no neighbours each sum goes over the wire.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

__all__ = ["neighbours_together", "workers_of"]


@contextmanager
def neighbours_together(client: Any, parts: Sequence[Any]) -> Iterator[None]:
    """Let what is computed in this block be computed by workers that get neighbours.

    Others may still do it, where one is lost or behind. Rows that lie on the cluster already, or
    are on their way, stay where they are.

    Parameters
    ----------
    client : distributed.Client
        Who talks to the workers.
    parts : sequence of Delayed
        The partitions.
    """
    import dask

    threads = client.nthreads()
    keys_of = _keys_of(parts) if threads else None
    if keys_of is None:
        yield
        return
    places = _Places({})
    for keys, worker in zip(keys_of, workers_of(len(parts), threads), strict=True):
        for key in keys:
            # What several need is made by anybody.
            places.workers[key] = [] if key in places.workers else [worker]
    with dask.annotate(workers=places, allow_other_workers=True):
        yield


def workers_of(n_partitions: int, threads: dict[str, int]) -> list[str]:
    """Give each partition's worker.

    Parameters
    ----------
    n_partitions : int
        The number of partitions.
    threads : dict of str to int
        How many threads each worker has.

    Returns
    -------
    workers : list of str
        One for each partition; as many as its share of the threads.
    """
    ends = np.cumsum(list(threads.values())) / sum(threads.values()) * n_partitions
    middles = np.arange(n_partitions) + 0.5
    return [list(threads)[i] for i in np.searchsorted(ends, middles)]


class _Places:
    """From a task's key to the workers that may do it, for the scheduler: none means any."""

    def __init__(self, workers: dict[Any, list[str]]) -> None:
        self.workers = workers

    def __call__(self, key: Any) -> list[str]:
        return self.workers.get(key, [])


def _keys_of(parts: Sequence[Any]) -> list[set[Any]] | None:
    """Give the keys of all that each part is made of; None where some of it is on the cluster."""
    layers = {name: layer for part in parts for name, layer in part.dask.layers.items()}
    graph = {key: task for layer in layers.values() for key, task in layer.items()}
    keys_of = []
    for part in parts:
        found: set[Any] = set()
        todo = [part.key]
        while todo:
            key = todo.pop()
            if key not in found:
                # What is on the cluster is no task, or none of this graph.
                needed = getattr(graph.get(key), "dependencies", None)
                if needed is None:
                    return None
                found.add(key)
                todo += needed
        keys_of.append(found)
    return keys_of
