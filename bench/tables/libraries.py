"""Other libraries, in C and C++: an epoch of plain SGD, online and in mini-batches.

Of genann, dlib, OpenCV, tiny-dnn and mlpack those that are installed: `rivals/libraries` says how.
Each is raced over the network nearest to 10-50-1 tanh that it can be, and over 8-100-1 where it has
batches. Both sides are below their estimators and go through the rows as they stand, with one
thread, whose CPU time is taken, in turns; a ratio is the median of the rival's over fastbp's.
Before that, an epoch of both has led from the same weights to the same ones, to the digits shown.
"""

import os

import numpy as np
from threadpoolctl import threadpool_limits

from bench.cases import DTYPES, Case, make_data
from bench.instruments import machine
from bench.instruments.markdown import number, ratio, table
from bench.instruments.options import parse_names, parser
from bench.instruments.timing import DIGITS, check_epoch, race
from bench.rivals import LIBRARIES, available, fastbp_net

#: Layer sizes, hidden and output activation, rows of a batch.
RACES = (
    ((10, 50, 1), "tanh", None, 1),
    ((10, 50, 1), "tanh", "tanh", 1),
    ((10, 50, 1), "logistic", None, 1),
    ((10, 50, 1), "logistic", "logistic", 1),
    ((8, 100, 1), "relu", None, 200),
)
N_ROWS = 2_000


def races(name):
    """Cases and dtypes that a library does, of those above."""
    for sizes, activation, output, batch_size in RACES:
        case = Case("", sizes, activation, batch_size, N_ROWS, 0.0, "plain")
        case = case._replace(output_activation=output)
        for dtype in DTYPES:
            if available(case, dtype, (name,)):
                yield case, dtype


def row(name, case, dtype):
    check_epoch(case, dtype, ("fastbp", name))
    X, y = make_data(case, dtype)
    ours, _ = fastbp_net.epochs(case, X, y)
    theirs, _ = LIBRARIES[name].epochs(case, X, y)
    seconds, times = race(ours, theirs)
    nanoseconds = 1e9 * seconds / N_ROWS
    units = f"{case.activation}, {case.output_activation or 'identity'}"
    network = f"{case.net_name} {units}" + (f" / {case.batch_size}" if case.batch_size > 1 else "")
    kind = np.dtype(dtype).name
    digits = f"{getattr(LIBRARIES[name], 'DIGITS', DIGITS)[kind]:.0e}"
    cells = [number(times * nanoseconds), number(nanoseconds), ratio(times, 1.0), digits]
    return [name, network, kind, *cells]


def main(arguments):
    names = parse_names(parser("libraries", __doc__), LIBRARIES, arguments).names
    absent = {name: LIBRARIES[name].missing() for name in names}
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # of BLASes yet to come
    with threadpool_limits(1):
        print(machine.line())
        reasons = [f"{name} ({why})" for name, why in absent.items() if why]
        print(f"Left out: {', '.join(reasons) or 'nothing'}.\n")
        rows = [row(name, *of) for name in names if not absent[name] for of in races(name)]
    heads = ["network", "dtype", "its ns a sample", "fastbp", "ratio", "same weights to"]
    table(["rival", *heads], rows)
