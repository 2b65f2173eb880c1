"""Clusters on this machine to be broken, for scripts in processes of their own."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager

import numpy as np

from fastbp import BackpropRegressor

__all__ = [
    "SOLVERS",
    "cluster_of",
    "collections",
    "is_idle",
    "kills",
    "later",
    "make_net",
    "problem",
    "same",
    "scheduler_alone",
    "vector_of",
    "worker_processes",
]

#: One of each kind.
SOLVERS = {"rprop": 15, "lm": 6, "lbfgs": 15, "adam": 3}


@contextmanager
def cluster_of(n_workers=2, *, processes=True, **options):
    """Start workers of one thread each, and a client."""
    import dask
    from distributed import Client, LocalCluster

    # Else one that is not back after 15 s, on a busy machine, is given up.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"})
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=processes,
            dashboard_address=":0",
            local_directory=os.getcwd(),
            **options,
        ) as cluster,
        Client(cluster) as client,
    ):
        warnings.simplefilter("ignore")  # of trainings that end early
        yield cluster, client


@contextmanager
def scheduler_alone():
    """Start a scheduler and a worker as processes to be killed, and a client."""
    from distributed import Client

    def start(*command):
        return subprocess.Popen([sys.executable, "-m", "dask", *command], stderr=subprocess.DEVNULL)

    where = ["--scheduler-file", "scheduler.json"]
    scheduler = start("scheduler", "--port", "0", "--no-dashboard", *where)
    worker = start("worker", "--no-nanny", "--no-dashboard", "--nthreads", "1", *where)
    try:
        with Client(scheduler_file="scheduler.json") as client:
            warnings.simplefilter("ignore")
            client.wait_for_workers(1, timeout=60)
            yield scheduler, client
    finally:
        for process in (worker, scheduler):
            process.kill()
            process.wait()


def problem(n_samples=800):
    """Make a regression problem in memory."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_samples, 5))
    return X, np.tanh(X.sum(axis=1)) + 0.1 * rng.standard_normal(n_samples)


def collections(*arrays, n_partitions=8):
    """Cut arrays into Dask arrays of the same partitions."""
    import dask.array as da

    rows = -(-len(arrays[0]) // n_partitions)
    return [da.from_array(a, chunks=(rows, *(-1 for _ in a.shape[1:]))) for a in arrays]


def make_net(solver, **parameters):
    """Make an estimator that trains as long as it is told."""
    defaults = {"max_iter": SOLVERS.get(solver), "tol": 0, "random_state": 0, "activation": "tanh"}
    return BackpropRegressor(hidden_layer_sizes=(6,), solver=solver, **defaults | parameters)


def vector_of(net):
    """All weights and biases in one vector."""
    return np.concatenate([array.ravel() for array in net.coefs_ + net.intercepts_])


def same(first, second):
    """Whether two estimators have the same bits."""
    return vector_of(first).tobytes() == vector_of(second).tobytes()


def worker_processes(cluster):
    """Give the ids of the workers' processes that are up.

    One that is killed while it starts is not started again.
    """
    nannies = list(cluster.workers.values())
    return [nanny.pid for nanny in nannies if nanny.pid and nanny.process.status.name == "running"]


def later(seconds, action):
    """Do something in a thread after a while."""
    thread = threading.Timer(seconds, action)
    thread.daemon = True
    thread.start()
    return thread


@contextmanager
def kills(cluster, moments, seed):
    """Kill a worker after each of some waits, chosen at random; says how many died so far."""
    rng, done = np.random.default_rng(seed), threading.Event()
    killed = []

    def work():
        for seconds in moments:
            if done.wait(seconds):
                return
            while not (up := worker_processes(cluster)):
                time.sleep(0.05)
            pid = int(rng.choice(up))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def is_idle(client, seconds=20):
    """Whether nothing is left to do or to keep, soon."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        gc.collect()  # a wait of Dask's that times out leaves a circle
        n_tasks = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))
        if not client.futures and n_tasks == 0:
            return True
        time.sleep(0.05)
    return False
