"""How soon a new process has its first result: cold, cached and steady.

``python bench/run.py startup`` times all cases in some minutes, ``python bench/run.py startup lm``
one of them; ``--rounds`` says how many cached processes there are of each.

Every figure comes from a Python process of its own with one thread (OMP_NUM_THREADS=1), and the
data, (1000, 8), made by NumPy:

- *cold*: NUMBA_CACHE_DIR is empty, so everything is compiled; one process.
- *cached*: the same again with the cache that the cold one left; the fastest of some processes.
- *steady*: the same call again in a cached process, by another estimator; the fastest of five.

"s" is wall time from the start of the process to its first result, the interpreter's start and all
imports included; "CPU" is the process's own CPU time until then. MLPRegressor compiles nothing; it
is left out where it has no such method. In every fit max_iter is 3, so what is timed is the start,
not the training. Before a row is printed, all processes must have arrived at the same parameters,
MLPRegressor's included.
"""

import json
import tempfile
import time
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from bench.instruments import machine
from bench.instruments.fresh_process import run_python
from bench.instruments.markdown import number, ratio, table
from bench.instruments.options import parse_names, parser

STEADY_ROUNDS, DIGITS = 5, 1e-6
#: The parent's clock at the start is the argument: ``perf_counter`` is the same in all processes.
CODE = """
import json, sys, time
import numpy as np
X = np.random.default_rng(0).standard_normal((1000, 8))
y = np.tanh(X[:, 0] + X[:, 1])
from {module} import {estimator} as Estimator

def first():
    model = Estimator(max_iter=3, random_state=0, **{options})
    {call}
    return model

model = first()
wall, cpu = time.perf_counter() - float(sys.argv[1]), time.process_time()
steady = []
for _ in range({rounds}):
    start = time.perf_counter()
    first()
    steady.append(time.perf_counter() - start)
norm = sum(float((a * a).sum()) for a in [*model.coefs_, *model.intercepts_])
print(json.dumps(dict(wall=wall, cpu=cpu, steady=min(steady), norm=norm)))
"""


class Start(NamedTuple):
    """A first call: the estimator's options, our call, and MLPRegressor's options and call."""

    label: str
    options: dict
    call: str
    their_options: dict | None
    their_call: str = ""


FIT, FIT_PREDICT = "model.fit(X, y)", "model.fit(X, y).predict(X)"
CASES = {
    "defaults": Start("defaults, fit and predict", {}, FIT_PREDICT, {}, FIT_PREDICT),
    "online": Start(
        'sgd, batch_size="online", fit',
        {"solver": "sgd", "batch_size": "online"}, FIT,
        {"solver": "sgd", "batch_size": 1}, FIT,
    ),
    "lbfgs": Start("lbfgs, fit", {"solver": "lbfgs"}, FIT, {"solver": "lbfgs"}, FIT),
    "lm": Start("lm, 5 units, fit", {"solver": "lm", "hidden_layer_sizes": (5,)}, FIT, None),
    "learn_one": Start(
        "sgd, learn_one",
        {"solver": "sgd"}, "model.learn_one(X[0], y[0])",
        {"solver": "sgd"}, "model.partial_fit(X[:1], y[:1])",
    ),
}  # fmt: skip


def measure(code, cache):
    """Seconds of a new process: wall and CPU to its first result, and steady; and the norm."""
    return json.loads(run_python(code, cache, repr(time.perf_counter())))


def fastest(code, cache, rounds):
    """The least of each figure over some processes."""
    measured = [measure(code, cache) for _ in range(rounds)]
    return {name: min(each[name] for each in measured) for name in measured[0]}


def row(case, rounds):
    """Cells of a case's row."""
    ours = {"module": "fastbp", "estimator": "BackpropRegressor", "rounds": STEADY_ROUNDS}
    code = CODE.format(options=case.options, call=case.call, **ours)
    with tempfile.TemporaryDirectory(prefix="fastbp-bench-") as cache:
        cold, cached = measure(code, cache), fastest(code, cache, rounds)
        processes = {"cached": cached}
        if case.their_options is not None:
            theirs = ours | {"module": "sklearn.neural_network", "estimator": "MLPRegressor"}
            code = CODE.format(options=case.their_options, call=case.their_call, **theirs)
            processes["MLPRegressor"] = fastest(code, cache, rounds)
    for name, each in processes.items():
        message = f"{name}, {case.label}"
        np.testing.assert_allclose(each["norm"], cold["norm"], rtol=DIGITS, err_msg=message)
    cells = [number(each[what]) for each in (cold, cached) for what in ("wall", "cpu")]
    cells.append(number(1e3 * cached["steady"]))
    if "MLPRegressor" not in processes:
        return [case.label, *cells, "", "", ""]
    mlp = processes["MLPRegressor"]
    cells += [number(mlp["wall"]), number(mlp["cpu"]), ratio(mlp["steady"], cached["steady"])]
    return [case.label, *cells]


def main(arguments):
    options = parser("startup", __doc__)
    options.add_argument("--rounds", type=int, default=3, help="cached processes of each case")
    chosen = parse_names(options, CASES, arguments)
    with threadpool_limits(1):
        print(f"{machine.line()}\n")
    with tempfile.TemporaryDirectory(prefix="fastbp-bench-") as cache:
        run_python("import fastbp, sklearn.neural_network", cache)  # files are in memory now
    heads = ["cold, s", "CPU", "cached, s", "CPU", "steady, ms"]
    heads += ["MLPRegressor, s", "CPU", "steady, MLPRegressor / fastbp"]
    table(["first result", *heads], (row(CASES[name], chosen.rounds) for name in chosen.names))
