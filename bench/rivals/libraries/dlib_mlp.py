"""dlib's mlp, in C++: online, float64, logistic units in the hidden and in the output layer."""

from pathlib import Path

import numpy as np

from bench.rivals.compiling import missing_parts
from bench.rivals.libraries import driver

SOURCE = Path(__file__).with_suffix(".cpp")
NAME = "dlib"
OPTIONS = ("-std=c++14", "-lopenblas")  # Debian's headers want a BLAS


def missing():
    return missing_parts(("dlib/mlp.h",), *OPTIONS)


def fits(case, dtype):
    plain = case.batch_size == 1 and case.update == "plain" and case.alpha == 0
    units = case.activation == case.output_activation == "logistic" and not case.is_of_classes
    return plain and units and len(case.sizes) == 3 and dtype == np.float64


def epochs(case, X, y):
    return driver.epochs(SOURCE, OPTIONS, case, X, y)
