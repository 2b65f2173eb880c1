"""On what was timed: the processor, the versions, the threads."""

import platform
from functools import cache

import numba
import numpy
import sklearn
from cpuinfo import get_cpu_info
from threadpoolctl import threadpool_info

import fastbp


@cache
def _processor():
    return get_cpu_info().get("brand_raw", platform.machine())


def describe():
    """Describe the machine as {what: which}, without names or dates; threads as they are now."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    blas = max(pools, key=lambda pool: "numpy" in pool["filepath"])  # SciPy brings its own
    return {
        "CPU": _processor(),
        "Python": platform.python_version(),
        "numpy": numpy.__version__,
        "BLAS": f"{blas['internal_api']} {blas['version']} {blas.get('architecture', '')}".strip(),
        "numba": numba.__version__,
        "scikit-learn": sklearn.__version__,
        "fastbp": fastbp.__version__,
        "threads": str(blas["num_threads"]),
    }


def line():
    """Say the same in a line."""
    return ", ".join(f"{what} {which}" for what, which in describe().items()) + "."
