"""How kernels are emitted: a routine once, whoever calls it."""

import re

import numpy as np
import pytest

from fastbp.machine.jit import part
from fastbp.machine.matmul import add_product
from fastbp.machine.simd import lanes
from fastbp.machine.views import matrix
from helpers.guards import DTYPES, NEEDS_A_COMPILER, compiled

pytestmark = NEEDS_A_COMPILER


@part
def _two_products(a, b, c):
    n = c.shape[1] // lanes(c)
    add_product(a, b, c, n)
    add_product(a, c, c, n)


@DTYPES
def test_a_routine_is_emitted_once_and_not_inlined(dtype):
    """It would inherit that from the parts that call it, and a kernel be five times as long."""

    def kernel(a, b, c):
        _two_products(matrix(a, 0, 8, 8), matrix(b, 0, 8, 16), matrix(c, 0, 8, 16))
        _two_products(matrix(b, 0, 8, 8), matrix(a, 0, 8, 16), matrix(c, 0, 8, 16))

    function = compiled(kernel)
    function(*(np.zeros(256, dtype) for _ in range(3)))
    (code,) = function.inspect_llvm().values()
    assert len(re.findall(r"^define [^\n]*_all_tiles", code, re.M)) == 1
    assert len(re.findall(r"call [^\n]*_all_tiles", code)) == 4


@pytest.mark.subprocess
def test_a_kernel_has_each_product_once(python, tmp_path):
    out = python(
        """
import re
import numpy as np
import pytest
from fastbp import Network
from fastbp.backends.cpu import kernels
from fastbp.backends.cpu.predict import predict
from fastbp.model.data import as_data
network = Network((3, 5, 4, 1), "tanh")
predict(network, np.zeros(network.n_parameters), as_data(np.zeros((60, 3))))
(code,) = kernels.predict.inspect_llvm().values()
print(len(re.findall(r"^define [^\\n]*_all_tiles", code, re.M)))
""",
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert int(out) == 1  # with and without relu
