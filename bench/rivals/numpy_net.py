"""The vectorised NumPy baseline of ``numpy_baseline.py``."""

from functools import partial

from bench.cases import RATE, initial_parameters
from bench.rivals import numpy_baseline

NAME = "NumPy"


def missing():
    return None


def fits(case, dtype):
    return case.has_plain_output


def net_and_step(case, dtype):
    """The net at the initial parameters, and its update rule."""
    parameters = initial_parameters(case, dtype)
    net = numpy_baseline.make_net(case.sizes, parameters, case.activation, case.alpha)
    if case.solver == "adam":
        return net, partial(numpy_baseline.adam_step, rate=RATE)
    nesterov = case.update == "nesterov"
    return net, partial(
        numpy_baseline.sgd_step, rate=RATE, momentum=case.momentum, nesterov=nesterov
    )


def epochs(case, X, y):
    net, step = net_and_step(case, X.dtype)
    return (
        lambda: numpy_baseline.epoch(net, X, y, case.batch_size, step),
        lambda: net.layers.flat,
    )


def prediction(case, X):
    net, _ = net_and_step(case, X.dtype)
    return lambda: numpy_baseline.predict(net, X)
