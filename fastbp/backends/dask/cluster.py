"""Work on partitions by the workers of a cluster, where the partitions lie."""

import gc
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from fastbp.backends.dask.faults import RowsError, has_workers, not_computed, told_apart
from fastbp.backends.dask.part import Part
from fastbp.backends.dask.threads import task
from fastbp.backends.dask.tree import Nodes, Sums, join, root

__all__ = ["Cluster"]

#: How often a partition is computed again that could not be, as where a file system fails at times.
_RETRIES = 2
#: Seconds after which it is asked whether anybody works at all.
_PATIENCE = 30.0
#: Seconds after which it is asked again which workers hold what.
_PLACES_LAST = 2.0


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
        self._has_workers = True

    def run(self, function: Callable, arguments: Sequence[tuple]) -> list[Any]:
        """Run a function on Delayed arguments."""
        with told_apart(self._client):
            futures = self._futures_of([task(function, *each) for each in arguments])
            return self._wait(futures, futures)

    def hold(self, parts: Sequence[Any]) -> list[Any]:
        """Make the parts on the workers, which keep them as long as somebody has these futures."""
        with told_apart(self._client):
            # No workers are named: if all of those died, Dask would ask no others.
            futures = self._futures_of(parts)
            self._wait(futures, futures, gathers=False)
        return futures

    def each(self, function: Callable, parts: Sequence[Any], *arguments: Any) -> list[Any]:
        """Run a function on every part, where it lies."""
        with told_apart(self._client):
            common = [[each] * len(parts) for each in (function, arguments)]
            return self._wait(self._client.map(_on_one, *common, parts, pure=False), parts)

    def sum(self, function: Callable[..., Sums], parts: Sequence[Any], *arguments: Any) -> Sums:
        """Sum over all parts by one task a worker."""
        with told_apart(self._client):
            nodes: Nodes = {}
            for some in self._wait(self._sums(function, parts, arguments), parts):
                nodes.update(some)
        return root(nodes, len(parts))

    def _sums(
        self, function: Callable[..., Sums], parts: Sequence[Any], arguments: tuple
    ) -> list[Any]:
        """Submit one task a worker, all in one graph: one by one they cost the scheduler more."""
        import dask

        workers, numbers = zip(*self._where(parts), strict=True)
        name = f"fastbp-sum-{uuid.uuid4().hex}"
        worker_of = {(name, i): worker for i, worker in enumerate(workers)}
        common = [[each] * len(workers) for each in (function, arguments, len(parts))]
        theirs = [[parts[i] for i in some] for some in numbers]
        # Others may do it where a worker is lost; if all are, the parts are made anew before it.
        with dask.annotate(workers=worker_of.__getitem__, allow_other_workers=True):
            return self._client.map(
                _sum_some, *common, numbers, theirs, key=list(worker_of), pure=False
            )

    def chain(
        self, function: Callable, state: Any, parts: Sequence[Any], steps: Sequence[tuple]
    ) -> Any:
        """Let a state go from part to part, to the workers that hold them."""
        with told_apart(self._client):
            for number, *arguments in steps:
                state = self._client.submit(function, state, parts[number], *arguments, pure=False)
            return self._wait([state], parts)[0]

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

    def _futures_of(self, tasks: Sequence[Any]) -> list[Any]:
        """Compute what the user's collections are made of, and what comes of it."""
        return self._client.compute(list(tasks), retries=_RETRIES)

    def _wait(self, futures: list[Any], parts: Sequence[Any], gathers: bool = True) -> list[Any]:
        """Wait for results; if it is not to be, nobody works on them any longer."""
        from distributed import KilledWorker

        try:
            self._watch(futures)
            if gathers:
                return self._client.gather(futures)
            for future in futures:
                if future.status != "finished":
                    future.result()  # raises
            return futures
        except BaseException as error:
            failed = [i for i, part in enumerate(parts) if part.status == "error"]
            with suppress(Exception):  # of a client that is lost
                self._client.cancel(futures, force=True)
            if not failed or isinstance(error, RowsError | KilledWorker | KeyboardInterrupt):
                raise
            raise not_computed(failed, error) from error

    def _watch(self, futures: list[Any]) -> None:
        """Wait until work has ended, one way or the other; warn once where nobody does it."""
        from distributed import wait

        while True:
            try:
                wait(futures, timeout=_PATIENCE)
                return
            except TimeoutError:
                pass
            self._has_workers = self._has_workers and has_workers(self._client)
            gc.collect()  # of a wait that timed out a circle is left, which keeps its futures


def _on_one(function: Callable, arguments: tuple, part: Part) -> Any:
    return function(part, 1, *arguments)  # a worker has as many of these as it has threads


def _sum_some(
    function: Callable[..., Sums],
    arguments: tuple,
    n: int,
    numbers: Sequence[int],
    parts: Sequence[Part],
) -> Nodes:
    """Sum over a worker's parts, as far as they are neighbours in the tree, by all its threads."""
    from distributed import get_worker

    n_threads = get_worker().state.nthreads
    sums = (function(part, n_threads, *arguments) for part in parts)
    return join({(0, number): each for number, each in zip(numbers, sums, strict=True)}, n)
