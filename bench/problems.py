"""What the batch solvers are timed on: data and a network of one hidden layer, with its start."""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.preprocessing import scale

from fastbp import Network, Objective
from fastbp.model.data import as_data

MADE = ((1000, 5, 10), (2000, 10, 20), (5000, 10, 50))


class Problem(NamedTuple):
    """Data and a network of one hidden layer of tanh units, with its start."""

    name: str
    X: np.ndarray
    y: np.ndarray
    n_hidden: int
    seed: int = 0

    @property
    def network(self):
        """The network as fastbp describes it."""
        return Network((self.X.shape[1], self.n_hidden, 1), "tanh")

    @property
    def start(self):
        """The parameters that all sides start from."""
        return self.network.initial_parameters(np.random.RandomState(self.seed), self.X.dtype)

    @property
    def objective(self):
        """The training error as fastbp computes it, made anew."""
        return Objective(self.network, as_data(self.X, self.y))


def made(n_rows, n_inputs, n_hidden, dtype=np.float64):
    """Normal inputs, and tanh of a linear function of them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_inputs))
    y = np.tanh(X @ rng.standard_normal((n_inputs, 1)))
    name = f"{n_rows} rows, {n_inputs}-{n_hidden}-1"
    return Problem(name, X.astype(dtype), y.astype(dtype), n_hidden)


def standardised(name, X, y, n_hidden=10):
    """Data of scikit-learn's."""
    X, y = scale(X), scale(y)[:, None]
    return Problem(f"{name}, {X.shape[1]}-{n_hidden}-1", X, y, n_hidden)


def race_problems():
    """What is raced over: made data, where the error falls to about 0, and two with noise."""
    friedman = make_friedman1(1000, 10, noise=1.0, random_state=0)
    return [
        *(made(*sizes) for sizes in MADE),
        standardised("diabetes", *load_diabetes(return_X_y=True)),
        standardised("friedman1", *friedman),
    ]


def sine(seed):
    """One period of a sine, 41 points, for a 1-5-1 net."""
    x = np.linspace(-1, 1, 41)[:, None]
    return Problem("sine", x, np.sin(np.pi * x), 5, seed)
