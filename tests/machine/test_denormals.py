"""A library that makes the chip round denormal numbers to 0 changes no result.

Libraries built by gcc -ffast-math do that to the whole process as they are loaded.
"""

import platform
import shutil
import subprocess

import pytest

pytestmark = [
    pytest.mark.subprocess,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="writes x86's control word"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
]

SOURCE = """
#include <immintrin.h>
void flush(void) { _mm_setcsr(_mm_getcsr() | 0x8040); }
double half(double x) { return x / 2; }
"""
FITS = """
import ctypes, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from helpers.fits import MODES, make_net
X = np.random.RandomState(0).standard_normal((200, 4))
y = np.tanh(X.sum(axis=1))
library = ctypes.CDLL(sys.argv[1])
library.half.argtypes = [ctypes.c_double]
library.half.restype = ctypes.c_double
if sys.argv[2] == "flush":
    library.flush()
print(library.half(2.3e-308))
for dtype in (np.float64, np.float32):
    for mode in MODES:
        net = make_net(mode, n_jobs=2, max_iter=6, tol=0).fit(X.astype(dtype), y.astype(dtype))
        print(net.loss_, *net.predict(X[:5]), net.predict_one(X[0]))
"""


def test_fits_and_predictions_are_the_same_without_denormal_numbers(python, tmp_path):
    source, library = tmp_path / "flush.c", tmp_path / "flush.so"
    source.write_text(SOURCE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    runs = [python(FITS, arguments=(str(library), flag)).split() for flag in ("as is", "flush")]
    (denormal, *usual), (zero, *flushed) = ([float(x) for x in run] for run in runs)
    assert denormal > 0
    assert zero == 0
    assert len(usual) > 100
    assert flushed == pytest.approx(usual, rel=1e-12, abs=1e-30)
