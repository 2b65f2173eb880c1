"""Dask clusters of up to 256 workers: what of an evaluation does not get faster with more of them.

Scheduler and client are processes of their own, and the workers, which compute nothing, share two
more: on a cluster they work side by side, so that what counts is the CPU time of the scheduler and
of the client for an evaluation. What they take when nothing is to be done is subtracted. The law

    serial = overhead + per_worker * w + per_byte * 8 p w

for w workers and p parameters is fitted to it. The two work partly side by side, so that their sum
is an upper bound. The time of an evaluation of n rows is then serial + n * per_row / w; "pays to"
is the number of workers beyond which it gets longer. "busy" is how much slower a loop ran than at
its best: on a machine that others use CPU times are longer, too.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from bench.instruments import machine
from bench.instruments.markdown import number, table
from bench.instruments.options import parser
from fastbp import Network, Objective
from fastbp.backends.dask.cluster import Cluster
from fastbp.model.data import as_data

N_FEATURES = 20
SIZES = (1_000, 20_000)
PATIENCE = 300.0  # seconds

#: What a scheduler does when there is nothing to be done is to be little.
QUIET = {
    "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "60s",
}


def main(arguments):
    own = parser("workers", __doc__)
    own.add_argument("--counts", type=int, nargs="+", default=[1, 4, 16, 64, 128, 256])
    own.add_argument("--start", nargs=2, metavar=("ADDRESS", "COUNT"), help="workers alone")
    options = own.parse_args(arguments)
    if options.start:
        asyncio.run(_work(options.start[0], int(options.start[1])))
        return 0
    print(f"{machine.line()}\n")
    measured = _measure(options.counts)
    law = _law(measured)
    print(
        f"serial = {1e3 * law[0]:.1f} ms + {1e3 * law[1]:.2f} ms a worker "
        f"+ {1e9 * law[2]:.2f} ns a byte\n"
    )
    rows = [
        [str(w), str(p), *(number(1e3 * each) for each in times)]
        + [number(1e3 * sum(times)), number(1e3 * (law @ _terms(w, p))), number(busy)]
        for (w, p), (*times, busy) in measured.items()
    ]
    heads = ["client, ms", "scheduler, ms", "both", "law", "busy"]
    table(["workers", "parameters", *heads], rows)
    _tell_what_pays(law)
    return 0


async def _work(address, count):
    """Be some workers until the scheduler ends."""
    from distributed import Worker

    workers = [Worker(address, nthreads=1, memory_limit=0) for _ in range(count)]
    await asyncio.gather(*workers)
    await asyncio.gather(*(worker.finished() for worker in workers))


@contextmanager
def _scheduler():
    """Start a scheduler as a process; gives a client, and a function that adds workers."""
    from distributed import Client

    def start(*command):
        process = subprocess.Popen(
            [sys.executable, *command], stderr=subprocess.DEVNULL, env=os.environ | QUIET
        )
        processes.append(process)

    def add(count):
        for some in (count // 2, count - count // 2):
            if some:
                start("bench/run.py", "workers", "--start", client.scheduler.address, str(some))

    processes = []
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "scheduler.json")
        try:
            start("-m", "dask", "scheduler", "--port", "0", "--no-dashboard", *_to(file))
            with Client(scheduler_file=file) as client:
                yield client, add
        finally:
            for process in reversed(processes):
                process.kill()
                process.wait()


def _to(file):
    return ["--scheduler-file", file]


def _measure(counts):
    """CPU seconds of client and scheduler and how busy it was, by (workers, parameters)."""
    from distributed import wait

    measured, there = {}, 0
    with _scheduler() as (client, add):
        for count in counts:
            add(count - there)
            there = count
            client.wait_for_workers(count, timeout=PATIENCE)
            addresses = list(client.scheduler_info(n_workers=-1)["workers"])
            parts = [
                client.submit(_nothing, i, workers=[address], pure=False)
                for i, address in enumerate(addresses)
            ]
            wait(parts)
            idle = _cpu_seconds(client, partial(time.sleep, 5)) / 5
            for size in SIZES:
                run = partial(Cluster(client).sum, _echo, parts, np.zeros(size))
                measured[count, size] = *_per_call(client, run, idle, max(3, 64 // count)), _busy()
                print(f"{count} workers, {size}: {measured[count, size]}", file=sys.stderr)
            del parts
    return measured


def _per_call(client, run, idle, n_calls):
    """Least CPU seconds, client's and scheduler's, of a call in three turns."""
    run(), run()
    turns = []
    for _ in range(3):
        start = time.perf_counter()
        seconds = _cpu_seconds(client, lambda: [run() for _ in range(n_calls)])
        turns.append((seconds - idle * (time.perf_counter() - start)) / n_calls)
    return min(turns, key=sum)


def _cpu_seconds(client, action):
    """CPU seconds, client's and scheduler's, of an action."""
    before = np.array([time.process_time(), client.run_on_scheduler(time.process_time)])
    action()
    return np.array([time.process_time(), client.run_on_scheduler(time.process_time)]) - before


def _busy():
    """How much slower a loop runs than at its best, in CPU time."""
    times = []
    for _ in range(300):
        start = time.thread_time()
        sum(range(50_000))
        times.append(time.thread_time() - start)
    return np.mean(times) / min(times)


def _nothing(i):
    return i


def _echo(part, n_threads, parameters):
    del part, n_threads
    return 0.0, parameters


def _terms(w, p):
    return np.array([1.0, w, 8.0 * p * w])


def _law(measured):
    """Fit the law; relative errors count, so that one worker does as much as 256."""
    terms = np.array([_terms(w, p) for w, p in measured])
    seconds = np.array([client + scheduler for client, scheduler, _ in measured.values()])
    return np.linalg.lstsq(terms / seconds[:, None], np.ones(len(seconds)), rcond=None)[0]


def _tell_what_pays(law):
    network = Network((N_FEATURES, 50, 1), "tanh")
    generator = np.random.default_rng(0)
    X = generator.normal(size=(100_000, N_FEATURES)).astype(np.float32)
    objective = Objective(network, as_data(X, np.sin(X[:, 0])))
    parameters = network.initial_parameters(np.random.RandomState(0), np.float32)
    run = partial(objective.loss_and_gradient, parameters)
    per_row = min(_seconds(run) for _ in range(7)) / len(X)
    rows = []
    for n in (10**6, 10**7, 10**8, 10**9):
        per_worker = law[1] + 8 * network.n_parameters * law[2]
        times = [law @ _terms(w, network.n_parameters) + n * per_row / w for w in (2, 16, 64, 256)]
        pays_to = np.sqrt(n * per_row / per_worker)
        cells = [number(n * per_row / each) for each in times]
        rows.append([f"{n:,}", number(1e9 * per_row), *cells, f"{pays_to:.0f}"])
    heads = [f"speed of {w}" for w in (2, 16, 64, 256)]
    table(["rows, 20-50-1", "ns a row", *heads, "pays to, workers"], rows)


def _seconds(run):
    start = time.thread_time()
    run()
    return time.thread_time() - start
