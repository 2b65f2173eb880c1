"""`warmup`: compiling ahead, here or on the workers of a cluster."""

import socket
import time
import warnings
from asyncio import to_thread
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastbp.precompilation.warmups import WARMUPS

__all__ = ["names_of", "warmup"]


def warmup(names: Iterable[str] | str | None = None, client: Any = None) -> dict[str, Any]:
    """Compile kernels for float64 and float32, or load them, so that no later fit has to.

    The code is kept in the user's own cache folder, where later processes find it: for images,
    servers, batch jobs and clusters. In a process that has done so, the first fit is as fast as
    the second. ``python -m fastbp warmup`` does the same from the shell.

    Parameters
    ----------
    names : iterable of str, or str, default=None
        What to compile: "mini-batches", "threads", "online", "lanes", "one-sample",
        "large-batches", "lbfgs", "bfgs", "lm", "predict", "derivatives", "functions"; all if None.
    client : dask.distributed.Client, default=None
        Compile on the workers of this cluster instead: on one of each host first, and then on all
        others, which load what that one has compiled. Workers that join later load it, too.

    Returns
    -------
    seconds : dict of str to float
        How many seconds each of the names took; with ``client`` such a dict for each worker, by
        its address.

    Raises
    ------
    ValueError
        If there is nothing of such a name, or if ``client`` is asynchronous or has no workers.

    Examples
    --------
    >>> import fastbp
    >>> seconds = fastbp.warmup(["predict"])  # the second time, to load it is all there is to do
    >>> list(seconds)
    ['predict']
    """
    chosen = names_of(names)
    return _warm(chosen) if client is None else _warm_cluster(chosen, client)


def names_of(names: Iterable[str] | str | None) -> list[str]:
    """Check names of what can be compiled; all of them for None."""
    chosen = [names] if isinstance(names, str) else list(WARMUPS if names is None else names)
    for name in chosen:
        if name not in WARMUPS:
            raise ValueError(
                f"names holds {name!r}, but there is only this to compile: {', '.join(WARMUPS)}."
            )
    return chosen


def _warm(names: list[str]) -> dict[str, float]:
    X = np.random.default_rng(0).standard_normal((2000, 100))
    seconds = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for name in names:
            start = time.perf_counter()
            for dtype in ("float64", "float32"):
                WARMUPS[name](X.astype(dtype))
            seconds[name] = time.perf_counter() - start
    return seconds


def _warm_cluster(names: list[str], client: Any) -> dict[str, Any]:
    if client.asynchronous:
        raise ValueError("client is asynchronous. Give one made without asynchronous=True.")
    hosts = client.run(socket.gethostname)
    if not hosts:
        raise ValueError("client has no workers yet. client.wait_for_workers(1) waits for them.")
    first = list({host: worker for worker, host in hosts.items()}.values())
    others = [worker for worker in hosts if worker not in first]
    seconds = client.run(_warm_worker, names, workers=first)
    return seconds | (client.run(_warm_worker, names, workers=others) if others else {})


async def _warm_worker(names: list[str]) -> dict[str, float]:
    """Do so in a thread: a worker that does not answer for a minute is taken for a dead one."""
    return await to_thread(_warm, names)
