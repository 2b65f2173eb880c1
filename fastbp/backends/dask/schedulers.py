"""Where work on partitions is done: on a cluster's workers, or in Dask's threads in this process.

Both hold the partitions' rows, run functions on them, and add sums in the order of ``tree.py``. On
a cluster the rows are made once, by tasks that Dask makes again where a worker is lost, and stay in
the workers' memory; an evaluation is one task a worker. In threads they are made when they are
needed, and let go: so they may be more than fit into memory.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from fastbp.backends.dask.cluster import Cluster
from fastbp.backends.dask.threads import Threads
from fastbp.backends.dask.tree import Sums

__all__ = ["Scheduler", "current_scheduler"]


class Scheduler(Protocol):
    """Runs functions on partitions. What stands for a partition's rows is its own affair."""

    def run(self, function: Callable, arguments: Sequence[tuple]) -> list[Any]:
        """Give ``function(*each)`` of each of some arguments, among which may be Delayed ones."""
        ...

    def hold(self, parts: Sequence[Any]) -> list[Any]:
        """Make parts of Delayed ones ready to be used many times."""
        ...

    def each(self, function: Callable, parts: Sequence[Any], *arguments: Any) -> list[Any]:
        """Give ``function(part, n_threads, *arguments)`` of every part, in order."""
        ...

    def sum(self, function: Callable[..., Sums], parts: Sequence[Any], *arguments: Any) -> Sums:
        """Sum ``function(part, n_threads, *arguments)`` over all parts."""
        ...

    def chain(
        self, function: Callable, state: Any, parts: Sequence[Any], steps: Sequence[tuple]
    ) -> Any:
        """Let a state go through parts, ``state = function(state, part, *arguments)``.

        A step is the number of a part, and the arguments.
        """
        ...


def current_scheduler(n_threads: int) -> Scheduler:
    """Choose the cluster whose client is the current one, or threads.

    Parameters
    ----------
    n_threads : int
        How many threads, where there is no cluster.

    Returns
    -------
    scheduler : Scheduler
        Where to work.

    Raises
    ------
    ValueError
        If the client is for asynchronous code.
    """
    if "distributed" not in sys.modules:  # then there is no client
        return Threads(n_threads)
    from distributed import get_client

    try:
        client = get_client()
    except ValueError:
        return Threads(n_threads)
    if client.asynchronous:
        raise ValueError(
            "The current Dask client is Client(asynchronous=True), which answers to 'await' alone, "
            "and fit does not wait that way. Make a Client without it, or call fit in a thread."
        )
    _make_way()
    return Cluster(client)


def _make_way() -> None:
    """Let a worker that runs a fit as its task have another thread, for what the fit waits for."""
    from distributed import get_worker, secede

    try:
        get_worker()
    except ValueError:  # this is no worker
        return
    with suppress(KeyError):  # it has another already, by worker_client() for instance
        secede()
