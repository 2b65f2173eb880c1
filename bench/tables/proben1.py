"""Nine problems of Proben1, trained as Prechelt trained them: are the test errors his or lower.

``python bench/run.py proben1``, or among the tables of the batch solvers.

Starts are uniform on [-0.1, 0.1]. Rprop (iRprop+, where his is the first Rprop) over all training
rows, softsign units, until the validation error is 5 % above its lowest (rule GL5, looked at every
5 iterations); the parameters of the lowest validation error are tested.
The error is 100 times the mean squared error over outputs and rows. The data are read from the
folder that the environment variable FASTBP_DATA names, one file ``proben1_NAME.npz`` for each set
with X1, Y1, split1 (rows for training, validation and test, in that order) and so on for the
orderings 1 to 3; without them the problems are left out.

References
----------
Prechelt, "Proben1: a set of neural network benchmark problems and benchmarking rules", report
21/94, Universitaet Karlsruhe (1994), table 11.
"""

import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from bench.instruments import machine
from bench.instruments.markdown import table
from bench.instruments.options import parser
from fastbp import Network, Objective
from fastbp.backends.cpu.predict import predict
from fastbp.model.data import as_data
from fastbp.solvers import SOLVERS, Options
from fastbp.solvers.monitor import Monitor
from fastbp.solvers.stopping import EarlyStopping, Limits

N_RUNS, N_PAPER_RUNS = 30, 60
OUTPUTS = {"l": "identity", "s": "softsign"}


class Entry(NamedTuple):
    """A problem of the table: its hidden layers, output units, and the paper's test errors."""

    data: str
    ordering: int
    hidden: tuple
    output: str
    mean: float
    sd: float


ENTRIES = (
    Entry("building", 1, (16,), "l", 1.36, 0.63),
    Entry("building", 2, (16, 8), "l", 0.28, 0.20),
    Entry("building", 3, (16, 8), "s", 0.26, 0.01),
    Entry("flare", 1, (32,), "s", 0.54, 0.01),
    Entry("flare", 2, (32,), "s", 0.32, 0.01),
    Entry("flare", 3, (24,), "s", 0.36, 0.01),
    Entry("hearta", 1, (32,), "l", 4.55, 0.41),
    Entry("hearta", 2, (16,), "l", 4.33, 0.15),
    Entry("hearta", 3, (32,), "l", 4.89, 0.91),
)


def missing(entry):
    """Why the data of a problem cannot be read, or None."""
    if "FASTBP_DATA" not in os.environ:
        return "FASTBP_DATA is not set"
    return None if _path(entry).exists() else f"FASTBP_DATA has no {_path(entry).name}"


def _path(entry):
    return Path(os.environ["FASTBP_DATA"], f"proben1_{entry.data}.npz")


def read(entry):
    """The rows for training, validation and test."""
    with np.load(_path(entry)) as arrays:
        X, Y, split = (arrays[f"{name}{entry.ordering}"] for name in ("X", "Y", "split"))
    cuts = np.cumsum(split)[:2]
    return [as_data(x, y) for x, y in zip(np.split(X, cuts), np.split(Y, cuts), strict=True)]


def network_of(entry, data):
    """The problem's network."""
    sizes = (data.X.shape[1], *entry.hidden, data.y.shape[1])
    return Network(sizes, "softsign", output_activation=OUTPUTS[entry.output])


def error(network, parameters, data):
    """100 times the mean squared error over outputs and rows."""
    return 100 * float(np.mean((predict(network, parameters, data) - data.y) ** 2))


def train(entry, parts, seed, max_iter=3000):
    """Train once; the test error and the result of the solver."""
    training, validation, test = parts
    network = network_of(entry, training)
    early_stopping = EarlyStopping(lambda p: -error(network, p, validation), "GL", 5.0)
    limits = Limits(max_iter=max_iter, gtol=0.0, n_iter_no_change=math.inf)
    options = Options(limits, Monitor(early_stopping=early_stopping))
    start = np.random.RandomState(seed).uniform(-0.1, 0.1, network.n_parameters)
    result = SOLVERS["rprop"].minimise(Objective(network, training), start, options)
    return error(network, result.parameters, test), result


def proben1():
    """Test errors of 30 runs beside the paper's of 60."""
    rows = []
    for entry in ENTRIES:
        if missing(entry):
            print(f"{entry.data}{entry.ordering} left out: {missing(entry)}.")
            continue
        parts = read(entry)
        errors, results = zip(*(train(entry, parts, seed) for seed in range(N_RUNS)), strict=True)
        iterations = np.median([result.history.n_iter for result in results])
        mean, sd = np.mean(errors), np.std(errors, ddof=1)
        narrow = math.sqrt(sd**2 / N_RUNS + entry.sd**2 / N_PAPER_RUNS)
        wide = math.sqrt(sd**2 + entry.sd**2)
        net = "+".join(map(str, entry.hidden)) + f" {entry.output}"
        cells = [f"{mean:.3f} ± {sd:.3f}", f"{entry.mean:.2f} ± {entry.sd:.2f}"]
        cells += [_verdict(mean, entry.mean + 2 * width) for width in (narrow, wide)]
        cells += [f"{np.median(errors):.3f}", f"{max(errors):.2f}", f"{iterations:g}"]
        rows.append([f"{entry.data}{entry.ordering}", net, *cells])
    heads = ["paper + 2 se", "paper + 2 sd", "median", "worst", "iterations, median"]
    if rows:
        table(["proben1", "net", "test error", "paper", *heads], rows)


def _verdict(mean, limit):
    return f"yes ({limit:.2f})" if mean <= limit else f"**no** ({limit:.2f})"


def main(arguments):
    parser("proben1", __doc__).parse_args(arguments)
    with threadpool_limits(1):
        print(f"{machine.line()}\n")
        proben1()
