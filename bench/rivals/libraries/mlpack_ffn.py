"""mlpack's FFN, in C++ over Armadillo and OpenBLAS: online and in batches, plain SGD.

Its package brings all headers but those of ensmallen, its library of optimisers, which none of the
package registries has. So the step, one line, is ours, over mlpack's loss and gradient.
"""

import importlib.util
from pathlib import Path

from bench.rivals.compiling import missing_parts
from bench.rivals.libraries import driver

SOURCE = Path(__file__).with_suffix(".cpp")
HEADERS = ("armadillo", "cereal/cereal.hpp", "mlpack.hpp")
NAME = "mlpack"
DIGITS = driver.DIGITS


def _options():
    package = importlib.util.find_spec("mlpack")
    places = package.submodule_search_locations if package else ()
    folders = [SOURCE.parent, *(Path(place, "include") for place in places)]  # ensmallen.hpp
    include = [f"-I{folder}" for folder in folders]
    return "-std=c++17", "-DARMA_DONT_USE_WRAPPER", *include, "-lopenblas", "-llapack"


def missing():
    return missing_parts(HEADERS, *_options())


def fits(case, dtype):
    plain = case.update == "plain" and case.alpha == 0
    units = case.activation in ("tanh", "relu") and case.has_plain_output
    return plain and units and len(case.sizes) == 3


def epochs(case, X, y):
    return driver.epochs(SOURCE, _options(), case, X, y)
