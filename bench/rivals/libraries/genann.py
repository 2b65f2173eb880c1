"""genann, a network in 400 lines of C: online, float64, logistic hidden units.

It has no package of its own; the package cynn holds it, and its symbols can be linked.
"""

import importlib.util
from pathlib import Path

import numpy as np

from bench.rivals.compiling import compiler
from bench.rivals.libraries import driver

SOURCE = Path(__file__).with_suffix(".c")
NAME = "genann"


def missing():
    if compiler() is None:
        return "no C compiler"
    return None if importlib.util.find_spec("cynn") else "cynn, which holds it, is not installed"


def fits(case, dtype):
    plain = case.batch_size == 1 and case.update == "plain" and case.alpha == 0
    units = case.activation == "logistic" and case.has_plain_output
    return plain and units and len(case.sizes) == 3 and dtype == np.float64


def epochs(case, X, y):
    extension = importlib.util.find_spec("cynn.genann").origin
    return driver.epochs(SOURCE, (extension,), case, X, y)
