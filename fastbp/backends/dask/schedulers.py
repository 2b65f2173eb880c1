"""Where work on partitions is done: on a cluster's workers, or in Dask's threads in this process.

Both hold the partitions' rows, run functions on them, and add sums in the order of ``tree.py``. On
a cluster the rows are made once, by tasks that Dask makes again where a worker is lost, and stay in
the workers' memory; an evaluation is one task a worker. In threads they are made when they are
needed, and let go: so they may be more than fit into memory.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from fastbp.backends.dask.part import Part
from fastbp.backends.dask.tree import Nodes, Sums, add, join, root

__all__ = ["Cluster", "Scheduler", "Threads", "current_scheduler"]

#: Seconds after which it is asked again which workers hold what.
_PLACES_LAST = 2.0


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

    def chain(self, function: Callable, state: Any, steps: Sequence[tuple]) -> Any:
        """Let a state go through ``state = function(state, part, *arguments)``, step by step."""
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
    return Cluster(client)


class Threads:
    """Dask's threads, in this process.

    Parameters
    ----------
    n_threads : int
        Partitions that are worked on at the same time.
    """

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads

    def hold(self, parts: Sequence[Any]) -> list[Any]:
        """Keep the recipes: the rows are made each time they are used."""
        return list(parts)

    def each(self, function: Callable, parts: Sequence[Any], *arguments: Any) -> list[Any]:
        """Run a function on every part."""
        return self._compute([_task(function, part, 1, *arguments) for part in parts])

    def sum(self, function: Callable[..., Sums], parts: Sequence[Any], *arguments: Any) -> Sums:
        """Sum over all parts; no more sums are kept than the tree is high."""
        nodes = [_task(function, part, 1, *arguments) for part in parts]
        while len(nodes) > 1:
            pairs = [nodes[i : i + 2] for i in range(0, len(nodes), 2)]
            nodes = [_task(add, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
        (total,) = self._compute(nodes)
        return total

    def chain(self, function: Callable, state: Any, steps: Sequence[tuple]) -> Any:
        """Let a state go from part to part."""
        for part, *arguments in steps:
            (state,) = self._compute([_task(function, state, part, *arguments)])
        return state

    def run(self, function: Callable, arguments: Sequence[tuple]) -> list[Any]:
        """Run a function on Delayed arguments."""
        return self._compute([_task(function, *each) for each in arguments])

    def _compute(self, tasks: list[Any]) -> list[Any]:
        import dask

        return list(dask.compute(*tasks, scheduler="threads", num_workers=self._n_threads))


class Cluster:
    """The workers of a cluster.

    Parameters
    ----------
    client : distributed.Client
        Who talks to them.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._places: list[tuple[str, list[int]]] = []
        self._places_of: Sequence[Any] = ()
        self._asked_at = 0.0

    def run(self, function: Callable, arguments: Sequence[tuple]) -> list[Any]:
        """Run a function on Delayed arguments."""
        tasks = [_task(function, *each) for each in arguments]
        with self._told_apart():
            return self._wait(self._client.compute(tasks))

    def hold(self, parts: Sequence[Any]) -> list[Any]:
        """Make the parts on the workers, which keep them as long as somebody has these futures."""
        with self._told_apart():
            futures = self._client.compute(list(parts))
            self._wait(futures, gathers=False)
        return futures

    def each(self, function: Callable, parts: Sequence[Any], *arguments: Any) -> list[Any]:
        """Run a function on every part, where it lies."""
        with self._told_apart():
            return self._wait(
                [
                    self._client.submit(_on_one, function, arguments, part, pure=False)
                    for part in parts
                ]
            )

    def sum(self, function: Callable[..., Sums], parts: Sequence[Any], *arguments: Any) -> Sums:
        """Sum over all parts by one task a worker."""
        with self._told_apart():
            tasks = [
                self._client.submit(
                    _sum_some,
                    function,
                    arguments,
                    numbers,
                    len(parts),
                    *(parts[i] for i in numbers),
                    workers=[worker],
                    allow_other_workers=True,  # for one that is lost
                    pure=False,
                )
                for worker, numbers in self._where(parts)
            ]
            nodes: Nodes = {}
            for some in self._wait(tasks):
                nodes.update(some)
        return root(nodes, len(parts))

    def chain(self, function: Callable, state: Any, steps: Sequence[tuple]) -> Any:
        """Let a state go from part to part, to the workers that hold them."""
        with self._told_apart():
            tasks = []
            for part, *arguments in steps:
                state = self._client.submit(function, state, part, *arguments, pure=False)
                tasks.append(state)
            return self._wait(tasks[-1:])[0]

    def _where(self, parts: Sequence[Any]) -> list[tuple[str, list[int]]]:
        """Say which parts each worker is to work on: each one once, where it lies."""
        now = time.monotonic()
        if parts is self._places_of and now - self._asked_at < _PLACES_LAST:
            return self._places
        holders = self._client.who_has(parts)
        numbers_of: dict[str, list[int]] = {}
        for number, part in enumerate(parts):
            # A lost part is made again by whoever needs it: anybody.
            at = sorted(holders.get(part.key, ())) or [next(iter(numbers_of), "")]
            least = min(at, key=lambda worker: len(numbers_of.get(worker, ())))
            numbers_of.setdefault(least, []).append(number)
        self._places, self._places_of, self._asked_at = list(numbers_of.items()), parts, now
        return self._places

    def _wait(self, futures: list[Any], gathers: bool = True) -> list[Any]:
        """Wait for results; if it is not to be, nobody works on them any longer."""
        from distributed import wait

        try:
            if gathers:
                return self._client.gather(futures)
            wait(futures)
            for future in futures:
                if future.status != "finished":
                    future.result()  # raises
            return futures
        except BaseException:
            self._client.cancel(futures, force=True)
            raise

    @contextmanager
    def _told_apart(self) -> Iterator[None]:
        """Say what was lost, where it is not the work that failed."""
        from concurrent.futures import CancelledError

        from distributed import KilledWorker

        try:
            yield
        except KilledWorker as error:
            raise RuntimeError(
                f"A Dask worker died while it worked on a partition, and others after it: {error} "
                "If their logs tell of memory, give workers more (memory_limit), or take smaller "
                "partitions."
            ) from error
        except CancelledError as error:
            raise RuntimeError(
                f"The Dask cluster was lost in the middle of a fit: {error}. The estimator is as "
                "it was. Connect a new Client, and fit again."
            ) from error


def _task(function: Callable, *arguments: Any) -> Any:
    from dask import delayed

    return delayed(function, pure=False, traverse=False)(*arguments)


def _on_one(function: Callable, arguments: tuple, part: Part) -> Any:
    return function(part, 1, *arguments)  # a worker has as many of these as it has threads


def _sum_some(
    function: Callable[..., Sums], arguments: tuple, numbers: list[int], n: int, *parts: Part
) -> Nodes:
    """Sum over a worker's parts, as far as they are neighbours in the tree, by all its threads."""
    from distributed import get_worker

    n_threads = get_worker().state.nthreads
    sums = (function(part, n_threads, *arguments) for part in parts)
    return join({(0, number): each for number, each in zip(numbers, sums, strict=True)}, n)
