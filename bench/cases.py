"""What is timed: the networks, the modes of training, the data, and what a sample costs.

One flop count for everybody, in floating-point operations a sample, of the matrix products alone:
forward 2 a weight; backward 2 a weight for the gradient and 2 for the error signals, which the
first layer need not send on. Activations and updates are not counted, though they take time.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits

from fastbp import Network

ALPHA = 1e-4
RATE = 2.0**-10  # FANN keeps it in float32
DTYPES = (np.float32, np.float64)

SIZES = {
    "small": (10, 50, 1),
    "medium": (64, 64, 64, 1),
    "large": (90, 256, 256, 1),
}


class Case(NamedTuple):
    """A network and how it is trained: plain SGD online, Adam otherwise, unless said.

    Classes are told apart by ``loss``: "binary_cross_entropy" with one output, or "cross_entropy".
    """

    mode: str
    sizes: tuple
    activation: str
    batch_size: int
    n_rows: int
    alpha: float = ALPHA
    rule: str = ""
    loss: str = "squared_error"
    output_activation: str | None = None

    @property
    def has_plain_output(self):
        """Whether the outputs are sums, as regressors have them."""
        return not self.is_of_classes and self.output_activation is None

    @property
    def is_of_classes(self):
        """Whether the targets are classes, not numbers."""
        return self.loss != "squared_error"

    @property
    def update(self):
        """Update rule: "plain", "momentum", "nesterov" or "adam"."""
        return self.rule or ("plain" if self.batch_size == 1 else "adam")

    @property
    def solver(self):
        """Solver of both estimators."""
        return "adam" if self.update == "adam" else "sgd"

    @property
    def momentum(self):
        """Momentum of solver "sgd"."""
        return 0.0 if self.update == "plain" else 0.9

    @property
    def network(self):
        """The network as fastbp describes it."""
        return Network(self.sizes, self.activation, self.loss, self.output_activation)

    @property
    def net_name(self):
        """Layer sizes, such as 10-50-1."""
        return "-".join(map(str, self.sizes))


def initial_parameters(case, dtype):
    """Draw what both estimators draw first for random_state=0."""
    return case.network.initial_parameters(np.random.RandomState(0), np.dtype(dtype))


def make_data(case, dtype):
    """Inputs about 0 and a smooth target of two of them, with noise; of classes see `_classes`."""
    if case.is_of_classes:
        return tuple(array.astype(dtype) for array in _classes(case))
    rng = np.random.default_rng(0)
    X = rng.standard_normal((case.n_rows, case.sizes[0]))
    X /= 2 * max(1, case.sizes[0] / 64) ** 0.5  # no tanh unit saturates, where FANN's slope differs
    y = np.tanh(X[:, :1] + X[:, 1:2]) + 0.1 * rng.standard_normal((case.n_rows, case.sizes[-1]))
    return X.astype(dtype), y.astype(dtype)


def _classes(case):
    """Make scikit-learn's digits, for 64 inputs, else clouds; y is 0 or 1, a column a class."""
    n_inputs, n_outputs = case.sizes[0], case.sizes[-1]
    if n_inputs == 64:
        X, labels = load_digits(return_X_y=True)
        X = X[: case.n_rows] / 16
    else:
        rng = np.random.default_rng(0)
        labels = rng.integers(max(n_outputs, 2), size=case.n_rows)
        centres = rng.standard_normal((max(n_outputs, 2), n_inputs)) / n_inputs**0.5
        X = centres[labels] + rng.standard_normal((case.n_rows, n_inputs)) / n_inputs**0.5
    labels = labels[: case.n_rows]
    return X, labels[:, None] if n_outputs == 1 else np.eye(n_outputs)[labels]


def labels_of(y):
    """Give the labels 0, 1, ... of the columns of 0 and 1 that `make_data` makes."""
    return y.ravel().astype(int) if y.shape[1] == 1 else y.argmax(axis=1)


def n_weights(sizes):
    return sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))


def training_flops(sizes):
    return 6 * n_weights(sizes) - 2 * n_weights(sizes[:2])


def prediction_flops(sizes):
    return 2 * n_weights(sizes)


def assert_same(got, expected, digits):
    """Require equality to within a fraction of the largest entry, by dtype: ``digits[dtype]``."""
    assert got.dtype == expected.dtype, (got.dtype, expected.dtype)
    tolerance = digits[got.dtype.name] * np.abs(expected).max()
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


def assert_same_training(got, expected, digits):
    """Require that two trainings ended at the same parameters, by the length of their difference.

    Not by the largest one: where a gradient is about 0, Adam's step is its sign, and in float32
    some single weights of a large network go their own way.
    """
    difference = np.linalg.norm(got - expected) / np.linalg.norm(expected)
    assert got.dtype == expected.dtype, (got.dtype, expected.dtype)
    assert difference <= digits[got.dtype.name], f"they differ by {difference:.2g} of their length"
