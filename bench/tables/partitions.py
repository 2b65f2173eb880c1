"""Dask collections: what an evaluation costs on a cluster, and from a disk.

``overhead``: loss and gradient over rows that are next to nothing, so that only the way there and
back is left; the goal is 25 ms for 2 workers. ``speed``: lbfgs on 4,000,000 x 20 in float32, on 2
workers of one thread, beside one process of two threads with the same data in memory; the goal is
0.8 of its speed. ``disk``: rows of twice the memory that a process may have, in zarr by Dask and in
a file mapped into memory without it (Dask copies such files), beside the same rows in memory where
there is enough. How far it scales is in the table ``workers``.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from bench.instruments import machine
from bench.instruments.markdown import number, ratio, table
from bench.instruments.options import parse_names, parser
from fastbp import BackpropRegressor, Network
from fastbp.backends.cpu.objective import Objective
from fastbp.backends.dask.objective import PartitionsObjective
from fastbp.estimators.collections import check_collections
from fastbp.model.data import as_data

N_FEATURES = 20
LIMIT = 2**30  # bytes that a process may have in "disk"


def main(arguments):
    choices = {"overhead": overhead, "speed": speed, "disk": disk}
    own = parser("partitions", __doc__)
    own.add_argument("--rows", type=int, default=4_000_000, help="rows of speed")
    own.add_argument("--from-disk", metavar="KIND", help=argparse_hidden())
    options = parse_names(own, choices, arguments)
    if options.from_disk:
        return _fit_from_disk(options.from_disk)
    print(f"{machine.line()}\n")
    for name in options.names:
        choices[name](options)
    return 0


def argparse_hidden():
    """Help of an option that a table gives to its own processes."""
    import argparse

    return argparse.SUPPRESS


def _cluster(n_workers, **how):
    from distributed import Client, LocalCluster

    how = {"threads_per_worker": 1, "dashboard_address": ":0"} | how
    return LocalCluster(n_workers=n_workers, **how), Client


def _rows(n, dtype=np.float32, n_features=N_FEATURES):
    generator = np.random.default_rng(0)
    X = generator.normal(size=(n, n_features)).astype(dtype)
    return X, np.sin(X[:, 0]) + X[:, 1] * X[:, 2]


def _objective(network, X, y, n_parts):
    import dask.array as da

    net = BackpropRegressor(hidden_layer_sizes=network.layer_sizes[1:-1], activation="tanh")
    chunk = -(-len(X) // n_parts)
    lazy = da.from_array(X, chunks=(chunk, -1)), da.from_array(y, chunks=chunk)
    found = check_collections(net, *lazy, None, reset=True)
    return PartitionsObjective(network, found.data(X.dtype))


def overhead(options):
    """What an evaluation takes over its arithmetic, which here is next to nothing."""
    rows = []
    cluster, client = _cluster(2)
    with cluster, client(cluster):
        for n_hidden in (20, 200, 2000):
            network = Network((N_FEATURES, n_hidden, 1), "tanh")
            parameters = network.initial_parameters(np.random.RandomState(0), np.float32)
            for n_parts in (2, 16):
                X, y = _rows(32)
                objective = _objective(network, X, y, n_parts)
                run = partial(objective.loss_and_gradient, parameters)
                run()
                times = [_seconds(run) for _ in range(50)]
                cells = [number(1e3 * np.median(times)), number(1e3 * min(times))]
                rows.append([str(network.n_parameters), str(n_parts), *cells])
    table(["parameters", "partitions", "ms (25)", "least"], rows)


def _seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def speed(options):
    """Lbfgs on rows that two workers share, beside a process of two threads."""
    network = Network((N_FEATURES, 50, 1), "tanh")
    parameters = network.initial_parameters(np.random.RandomState(0), np.float32)
    X, y = _rows(options.rows)
    cluster, client = _cluster(2, memory_limit=0)
    with cluster, client(cluster):
        there = _objective(network, X, y, 8)
        here = Objective(network, as_data(X, y), n_threads=2)
        sums = [each.loss_and_gradient(parameters)[1] for each in (there, here)]
        np.testing.assert_allclose(*sums, rtol=1e-3, atol=1e-5)
        pairs = [
            [_seconds(partial(each.loss_and_gradient, parameters)) for each in (there, here)]
            for _ in range(12)
        ]
        of_cluster, of_threads = np.array(pairs).T
        fits = []
        for fit_to in (_lazy(X, y, 8), (X, y)):
            net = BackpropRegressor(
                hidden_layer_sizes=(50,), activation="tanh", solver="lbfgs", max_iter=10, n_jobs=2,
                random_state=0,
            )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fits.append(_seconds(lambda net=net, fit_to=fit_to: net.fit(*fit_to)))
    cells = [number(1e3 * np.median(each)) for each in (of_cluster, of_threads)]
    cells += [ratio(np.median(of_threads / of_cluster), 1, 0.8)]
    heads = ["2 workers, ms", "2 threads, ms", "ratio", "fit of 10, s", "fit of 10 here, s"]
    row = [f"{len(X)} x {N_FEATURES}, 20-50-1", "float32", *cells, *map(number, fits)]
    table(["an evaluation", "dtype", *heads], [row])


def _lazy(X, y, n_parts):
    import dask.array as da

    chunk = -(-len(X) // n_parts)
    return da.from_array(X, chunks=(chunk, -1)), da.from_array(y, chunks=chunk)


def disk(options):
    """Fit to rows of twice the memory that there is."""
    n_rows = 2 * LIMIT // (4 * (N_FEATURES + 1))
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        _write(Path(folder), n_rows)
        rows = []
        for kind in ("memory", "memmap", "zarr"):
            for cold in (False, True) if kind != "memory" else (False,):
                rows.append(_process(kind, folder, cold))
    table(["rows from", "the file is in memory", "s", "MiB, most", "loss"], rows)


def _write(folder, n_rows):
    import zarr

    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (n_rows, N_FEATURES))
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", np.float32, (n_rows,))
    chunk = 500_000
    for start in range(0, n_rows, chunk):
        rows, targets = _rows(min(chunk, n_rows - start))
        X[start : start + chunk], y[start : start + chunk] = rows, targets
    X.flush(), y.flush()
    for name, array in (("X", X), ("y", y)):
        stored = zarr.create_array(
            folder / f"{name}.zarr", shape=array.shape, dtype=array.dtype,
            chunks=(chunk, *array.shape[1:]), compressors=None,
        )  # fmt: skip
        for start in range(0, n_rows, chunk):
            stored[start : start + chunk] = array[start : start + chunk]


def _process(kind, folder, cold):
    """Run a fit in a process of its own, whose memory is limited."""
    if cold:
        for file in Path(folder).rglob("*"):
            if file.is_file():
                with open(file, "rb") as opened:
                    os.fsync(opened.fileno())
                    os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    command = [sys.executable, "bench/run.py", "partitions", "--from-disk", kind]
    done = subprocess.run(command, cwd=_root(), env=os.environ | {"BENCH_FOLDER": folder},
                          capture_output=True, text=True)  # fmt: skip
    if done.returncode:
        return [kind, "no" if cold else "yes", done.stderr.strip().splitlines()[-1], "", ""]
    return [kind, "no" if cold else "yes", *done.stdout.split()]


def _root():
    return Path(__file__).resolve().parents[2]


def _fit_from_disk(kind):
    """Fit in this process, and print seconds, memory and loss."""
    import dask.array as da

    folder = Path(os.environ["BENCH_FOLDER"])
    net = BackpropRegressor(
        hidden_layer_sizes=(50,), activation="tanh", solver="lbfgs", max_iter=5, n_jobs=2,
        random_state=0,
    )  # fmt: skip
    warnings.simplefilter("ignore")
    net.fit(*_rows(1000))  # compiles
    if kind != "memory":
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    start = time.perf_counter()
    if kind == "memory":
        X, y = (np.load(folder / f"{name}.npy") for name in "Xy")
    elif kind == "memmap":
        X, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in "Xy")  # without Dask
    else:
        X, y = (da.from_zarr(folder / f"{name}.zarr") for name in "Xy")
    net.fit(X, y)
    seconds = time.perf_counter() - start
    most = _most_memory()
    print(number(seconds), number(most), f"{net.loss_:.6f}")
    return 0


def _most_memory():
    """MiB of memory that this process has had at most, files mapped into it counted."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
