"""Many fits on a cluster whose workers are killed: none hangs, and no bit changes.

Run ``python -m helpers.kill_workers 20`` from ``tests/`` for 20 deaths in fits of each solver, and
``python -m helpers.kill_workers 20 bfgs cg`` for those of two.
"""

import faulthandler
import multiprocessing
import os
import sys
import tempfile
import time

import dask
import numpy as np

from helpers.clusters import (
    SOLVERS,
    cluster_of,
    collections,
    is_idle,
    kills,
    make_net,
    problem,
    same,
)

#: Iterations enough for several deaths.
ITERATIONS = {"bfgs": 15, "cg": 10, "scg": 10, "gd": 20, "sgd": 3} | SOLVERS
#: Seconds after which a fit hangs: it takes some, and workers that start on a busy machine minutes.
PATIENCE = 600.0


def main(n_deaths, solvers):
    """Kill so many workers in fits of each solver; prints what was done."""
    # What takes a worker longest, its imports, is done once.
    dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"})
    import distributed  # noqa: F401  # it has a list of its own

    multiprocessing.set_forkserver_preload(["distributed", "fastbp.backends.dask.part"])
    data = collections(*problem())
    for number, solver in enumerate(solvers):
        with cluster_of(2, silence_logs=50) as (cluster, client):
            print(f"{solver}: {_kill(n_deaths, solver, data, number, cluster, client)}", flush=True)


def _kill(n_deaths, solver, data, seed, cluster, client):
    def fit():
        faulthandler.dump_traceback_later(PATIENCE, exit=True)
        net = make_net(solver, max_iter=ITERATIONS[solver]).fit(*data)
        faulthandler.cancel_dump_traceback_later()
        return net

    fit()  # loads the kernels
    begin = time.monotonic()
    expected = fit()
    lasts, n_died, n_fits = time.monotonic() - begin, 0, 0
    rng = np.random.default_rng(seed)
    while n_died < n_deaths:
        # At times one of them, at times both; one dies while the other starts, too. Dask gives up
        # what four workers died of.
        with kills(cluster, rng.uniform(0, lasts, 3), rng) as killed:
            assert same(fit(), expected), f"other bits after {n_died} deaths"
        n_died, n_fits = n_died + len(killed), n_fits + 1
        client.wait_for_workers(2, timeout=PATIENCE)
    assert is_idle(client), "something is left on the cluster"
    return f"{n_died} deaths in {n_fits} fits of {lasts:.1f} s, the same bits"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main(int(sys.argv[1]), sys.argv[2:] or list(ITERATIONS))
