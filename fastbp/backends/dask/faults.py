"""What goes wrong with partitions and clusters, told so that somebody can act on it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fastbp.machine.ctrl_c import raising_what_callbacks_swallow
from fastbp.version import guide

__all__ = ["RowsError", "has_workers", "not_computed", "told_apart"]


class RowsError(ValueError):
    """A partition's rows are wrong, and the message names it."""


def not_computed(numbers: Sequence[int], error: BaseException) -> RuntimeError:
    """Give the error for a partition that could not be computed, such as a file that is gone.

    Parameters
    ----------
    numbers : sequence of int
        Its number; several, where it is one of those that were computed at the time.
    error : Exception
        What the collection's own task raised.

    Returns
    -------
    error : RuntimeError
        The same, with the partition.
    """
    return RuntimeError(
        f"Partition {' or '.join(map(str, numbers))} could not be computed: "
        f"{type(error).__name__}: {error}. See that what the collection was made of can be read by "
        "all who work on it."
    )


def has_workers(client: Any) -> bool:
    """Whether a cluster has a worker that takes work; warns if it has none, and work waits."""
    try:
        client.wait_for_workers(1, timeout=1)
    except TimeoutError:
        warnings.warn(
            "No worker of the Dask cluster takes work, and the fit waits for one: there is none, "
            "or their memory is nearly full and they pause. Look at the cluster's dashboard, add "
            "workers, or give them more memory (memory_limit). Ctrl-C ends the fit; Dask's setting "
            "distributed.scheduler.no-workers-timeout limits the wait.",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True


@contextmanager
def told_apart(client: Any) -> Iterator[None]:
    """Tell a lost cluster or worker from work that failed.

    Parameters
    ----------
    client : distributed.Client
        Who waits for the work.

    Raises
    ------
    RuntimeError
        If the cluster is lost, its work was cancelled, or workers died one after the other.
    """
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.scheduler import NoValidWorkerError

    if client.status != "running":  # it would take work, and wait for its cluster
        raise _lost(f"its client is {client.status}")
    try:
        with raising_what_callbacks_swallow():
            yield
    except KilledWorker as error:
        raise RuntimeError(
            f"Dask workers died one after the other while they worked on a partition: {error} "
            "If their logs tell of memory, give workers more (memory_limit), or take smaller "
            "partitions."
        ) from error
    except (CancelledError, NoValidWorkerError) as error:
        raise _lost(error) from error
    except Exception as error:
        if client.status != "running":
            raise _lost(error) from error
        raise


def _lost(why: Any) -> RuntimeError:
    return RuntimeError(
        f"The Dask cluster was lost in the middle of a fit, or the work there cancelled: {why}. "
        f"The estimator is as it was. Connect a new Client, and fit again. {guide('dask')}"
    )
