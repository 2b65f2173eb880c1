"""Mini-batches in one thread and in two, beside JAX and PyTorch with both cores.

Epochs of Adam, relu, below the estimators. All train for an epoch from the same weights first, and
must have arrived at the same ones, fastbp's threads at the same bits; else nothing is printed but
what differs. They take turns for some rounds, and a ratio is the median over rounds of one time
over another: "2 threads" of fastbp's one thread over its two, in brackets the goal; a rival's of
its time over fastbp's two threads. The last column is the first ratio again beside two busy
processes.
"""

import math
import subprocess
import sys
from contextlib import contextmanager
from functools import partial

import numpy as np

from bench.cases import DTYPES, Case, assert_same_training, make_data
from bench.instruments import machine
from bench.instruments.markdown import number, ratio, table
from bench.instruments.options import parser
from bench.instruments.timing import DIGITS, seconds
from bench.rivals import RIVALS, available

#: Networks and rows of a batch, and how many times one thread's speed is wanted.
CASES = {
    ((8, 50, 1), 32): None,
    ((8, 100, 1), 200): 1.3,
    ((8, 64, 64, 1), 256): 1.5,
    ((90, 256, 256, 1), 256): 1.7,
}
N_THREADS = 2
SECONDS = 0.02
BUSY = "while True: pass"


def prepare(sizes, batch_size, dtype):
    """Make functions of some epochs, by name, that have arrived at the same weights after one."""
    case = Case("mini-batch", sizes, "relu", batch_size, 20 * batch_size, 0.0)
    X, y = make_data(case, dtype)
    rivals = available(case, dtype)
    made = {
        f"fastbp, {n}": RIVALS["fastbp"].epochs(case, X, y, n_threads=n) for n in (1, N_THREADS)
    }
    made |= {name: rivals[name].epochs(case, X, y) for name in ("JAX", "PyTorch") if name in rivals}
    if "PyTorch" in made:
        import torch

        torch.set_num_threads(N_THREADS)
    ends = {}
    for name, (run, parameters) in made.items():
        run()
        ends[name] = parameters().copy()
        digits = getattr(RIVALS.get(name), "DIGITS", DIGITS)
        assert_same_training(ends[name], ends["fastbp, 1"], digits)
    np.testing.assert_array_equal(ends["fastbp, 1"], ends[f"fastbp, {N_THREADS}"])
    # fastbp makes several epochs in a call, as a fit does.
    return {
        name: run if name.startswith("fastbp") else partial(_repeat, run)
        for name, (run, _) in made.items()
    }


def take_turns(runs, rounds):
    """Seconds of an epoch in each round, by name."""
    times = {name: [] for name in runs}
    in_a_row = {name: math.ceil(SECONDS / seconds(run, 1)) for name, run in runs.items()}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(seconds(run, in_a_row[name]) / in_a_row[name])
    return {name: np.array(each) for name, each in times.items()}


def _repeat(run, n):
    for _ in range(n):
        run()


@contextmanager
def busy(n):
    """Have some processes that never rest."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(n)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def row(sizes, batch_size, dtype, goal, rounds):
    """Cells of a case's row."""
    runs = prepare(sizes, batch_size, dtype)
    quiet = take_turns(runs, rounds)
    one, two = (f"fastbp, {n}" for n in (1, N_THREADS))
    with busy(N_THREADS):
        beside = take_turns({name: runs[name] for name in (one, two)}, rounds)
    cells = [number(1e9 * np.median(quiet[name]) / (20 * batch_size)) for name in (one, two)]
    cells.append(ratio(np.median(quiet[one] / quiet[two]), 1, goal))
    for name in ("JAX", "PyTorch"):
        cells.append(ratio(np.median(quiet[name] / quiet[two]), 1) if name in quiet else "")
    cells.append(ratio(np.median(beside[one] / beside[two]), 1, 0.7))
    return [f"{'-'.join(map(str, sizes))} / {batch_size}", np.dtype(dtype).name, *cells]


def main(arguments):
    own = parser("threads", __doc__)
    own.add_argument("--rounds", type=int, default=15, help="how often each takes its turn")
    rounds = own.parse_args(arguments).rounds
    print(f"{machine.line()}\n")
    heads = ["1 thread, ns a row", "2 threads, ns", "2 threads", "JAX", "PyTorch", "2 busy beside"]
    rows = (row(*what, dtype, goal, rounds) for what, goal in CASES.items() for dtype in DTYPES)
    table(["mini-batch", "dtype", *heads], rows)
