"""R's nnet: BFGS in C for one hidden layer, the method that R users take.

Its hidden units are logistic, s. With tanh(z) = 2 s(2z) - 1 it computes the same function as a tanh
network at other weights: what goes into a hidden unit and what comes out of it times 2, and the
output's bias less the sum of its weights. Its goal and its value are sums of squares. It has no
epochs to be timed; `tables/solvers.py` races it.
"""

import math
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

SCRIPT = Path(__file__).with_suffix(".R")
NAME = "nnet"


class Fit(NamedTuple):
    """A training: CPU seconds, loss and parameters at its end, iterations where they are known."""

    seconds: float
    loss: float
    parameters: np.ndarray
    n_iter: float = math.nan


@cache
def missing():
    if shutil.which("Rscript") is None:
        return "Rscript is not installed"
    check = ["Rscript", "-e", "library(nnet)"]
    absent = subprocess.run(check, capture_output=True).returncode
    return "R's package nnet is not installed" if absent else None


def train(network, X, y, starts, max_iter=100, goal=0.0, least_seconds=0.2):
    """Train from each of some parameter vectors; ``max_iter=0`` gives the losses there."""
    n_rows, n_inputs = X.shape
    weights = np.stack([_to_nnet(network, start) for start in starts])
    settings = (n_rows, n_inputs, network.layer_sizes[1], len(starts), max_iter)
    settings += (2 * n_rows * goal, least_seconds)
    with tempfile.TemporaryDirectory(prefix="fastbp-bench-") as folder:
        for name, array in (("x", X.T), ("y", y), ("starts", weights)):
            np.ascontiguousarray(array, dtype=np.float64).tofile(Path(folder, name))
        command = ["Rscript", str(SCRIPT), folder, *map(str, settings)]
        subprocess.run(command, check=True)
        results = np.fromfile(Path(folder, "results")).reshape(len(starts), -1)
    return [
        Fit(seconds, value / (2 * n_rows), _from_nnet(network, np.array(weights)), n_iter)
        for seconds, value, n_iter, *weights in results
    ]


def _to_nnet(network, parameters):
    """Weights of nnet: unit by unit the bias and the input weights, then those of the output."""
    (w1, w2), (b1, b2) = network.unpack(parameters)
    hidden = 2 * np.column_stack([b1, w1.T])
    return np.concatenate([hidden.ravel(), b2 - w2.sum(), 2 * w2.ravel()])


def _from_nnet(network, weights):
    n_inputs, n_hidden, _ = network.layer_sizes
    hidden, output = np.split(weights, [n_hidden * (n_inputs + 1)])
    hidden, w2 = hidden.reshape(n_hidden, -1) / 2, output[1:, None] / 2
    coefs, intercepts = [hidden[:, 1:].T, w2], [hidden[:, 0], output[:1] + w2.sum()]
    return network.pack(coefs, intercepts, np.dtype(np.float64))
