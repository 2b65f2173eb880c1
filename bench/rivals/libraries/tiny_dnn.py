"""tiny-dnn, headers of C++: float32 with AVX, online and in batches, plain SGD.

Its Adam corrects for the first steps otherwise than the paper has it, so it would end elsewhere.
"""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from bench.rivals.compiling import missing_parts
from bench.rivals.libraries import driver

SOURCE = Path(__file__).with_suffix(".cpp")
HEADERS = (
    "tiny_dnn/tiny_dnn.h",
    "cereal/cereal.hpp",
    "third_party/gemmlowp/public/gemmlowp.h",
    "third_party/stb/stb_image.h",
)
NAME = "tiny-dnn"
DIGITS = driver.DIGITS


def missing():
    return missing_parts(HEADERS, *_options())


def fits(case, dtype):
    plain = case.update == "plain" and case.alpha == 0 and case.n_rows % case.batch_size == 0
    units = case.activation in ("tanh", "relu") and case.has_plain_output
    return plain and units and len(case.sizes) == 3 and dtype == np.float32


@cache
def _options():
    """Give the compiler's options: other headers are to be where tiny-dnn looks for them."""
    folder = tempfile.mkdtemp(prefix="fastbp-bench-")
    Path(folder, "third_party").symlink_to("/usr/include")
    return "-std=c++14", f"-I{folder}", "-lpthread"


def epochs(case, X, y):
    return driver.epochs(SOURCE, _options(), case, X, y)
