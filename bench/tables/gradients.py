"""Tiny gradients: loss and gradient of some rows, where a call weighs as much as its arithmetic.

A call is that of `Objective.loss_and_gradient`, with one thread, whose CPU time is taken, the best
of many; it has been checked against NumPy. In brackets stands what SimpleChains' README says of its
own 24-8-2 over 200 rows, in float64, with dropout, on a processor that it does not name.
"""

import time

import numpy as np
from threadpoolctl import threadpool_limits

from bench.cases import DTYPES, Case, assert_same, initial_parameters
from bench.instruments import machine
from bench.instruments.markdown import number, table
from bench.instruments.options import parser
from bench.rivals import numpy_baseline
from fastbp import Objective
from fastbp.model.data import as_data

DIGITS = {"float64": 1e-9, "float32": 1e-4}
IN_A_ROW, ROUNDS = 20, 300

#: Layer sizes, rows, and the nanoseconds a row that somebody else has published.
CASES = (((24, 8, 2), 200, 28), ((1, 5, 1), 41, None), ((10, 10, 1), 442, None))


def microseconds(call):
    """Give the CPU time of a call, the best of many."""
    best = np.inf
    for _ in range(ROUNDS):
        begin = time.thread_time()
        for _ in range(IN_A_ROW):
            call()
        best = min(best, time.thread_time() - begin)
    return 1e6 * best / IN_A_ROW


def row(sizes, n_rows, published, dtype):
    case = Case("full", sizes, "tanh", n_rows, n_rows, 0.0)
    rng = np.random.default_rng(0)
    X, y = (rng.standard_normal((n_rows, n)).astype(dtype) for n in (sizes[0], sizes[-1]))
    start = initial_parameters(case, dtype)
    objective = Objective(case.network, as_data(X, y))
    net = numpy_baseline.make_net(sizes, start.copy(), "tanh", 0.0)
    numpy_baseline.loss_and_gradient(net, X, y)
    assert_same(objective.loss_and_gradient(start)[1], net.gradient.flat, DIGITS)
    taken = microseconds(lambda: objective.loss_and_gradient(start))
    a_row = 1e3 * taken / n_rows
    mark = f" ({published})" if published and dtype == np.float64 else ""
    name = f"{case.net_name}, {n_rows} rows"
    return [name, np.dtype(dtype).name, number(taken), number(a_row) + mark]


def main(arguments):
    parser("gradients", __doc__).parse_args(arguments)
    with threadpool_limits(1):
        print(f"{machine.line()}\n")
        rows = [row(*case, dtype) for case in CASES for dtype in DTYPES]
    table(["gradient, tanh", "dtype", "µs a call", "ns a row"], rows)
