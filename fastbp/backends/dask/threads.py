"""Work on partitions in Dask's threads, in this process."""

from collections.abc import Callable, Sequence
from typing import Any

from fastbp.backends.dask.faults import RowsError, not_computed
from fastbp.backends.dask.tree import Sums, add

__all__ = ["Threads", "task"]


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
        return self._compute([task(function, part, 1, *arguments) for part in parts], parts)

    def sum(self, function: Callable[..., Sums], parts: Sequence[Any], *arguments: Any) -> Sums:
        """Sum over all parts; no more sums are kept than the tree is high."""
        nodes = [task(function, part, 1, *arguments) for part in parts]
        while len(nodes) > 1:
            pairs = [nodes[i : i + 2] for i in range(0, len(nodes), 2)]
            nodes = [task(add, *pair) if len(pair) == 2 else pair[0] for pair in pairs]
        (total,) = self._compute(nodes, parts)
        return total

    def chain(
        self, function: Callable, state: Any, parts: Sequence[Any], steps: Sequence[tuple]
    ) -> Any:
        """Let a state go from part to part."""
        for number, *arguments in steps:
            (state,) = self._compute([task(function, state, parts[number], *arguments)], parts)
        return state

    def run(self, function: Callable, arguments: Sequence[tuple]) -> list[Any]:
        """Run a function on Delayed arguments."""
        tasks = [task(function, *each) for each in arguments]
        return self._compute(tasks, tasks)

    def _compute(self, tasks: list[Any], parts: Sequence[Any]) -> list[Any]:
        import dask

        begun: set[Any] = set()
        begins, ends = (lambda key, *_: begun.add(key)), (lambda key, *_: begun.remove(key))
        options = {"num_workers": self._n_threads, "callbacks": [(None, None, begins, ends, None)]}
        try:
            return list(dask.compute(*tasks, scheduler="threads", **options))
        except RowsError:
            raise
        except Exception as error:
            failed = [i for i, part in enumerate(parts) if begun & set(part.dask.cull({part.key}))]
            if not failed:
                raise
            raise not_computed(failed, error) from error


def task(function: Callable, *arguments: Any) -> Any:
    """Make a Delayed call, whose arguments may be Delayed too."""
    from dask import delayed

    return delayed(function, pure=False, traverse=False)(*arguments)
