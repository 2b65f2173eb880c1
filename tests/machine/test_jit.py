"""How kernels are compiled: a routine once, whoever calls it; and what is left as it was."""

import gc
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


@part
def _with_a_function_of_its_own(x):
    double = lambda number: 2 * number  # noqa: E731
    return double(x[0])


def test_a_part_may_define_a_function():
    def kernel(x):
        return _with_a_function_of_its_own(x)

    assert compiled(kernel)(np.array([3.0])) == 6


@pytest.mark.parametrize("is_on", [True, False])
def test_the_garbage_collector_is_left_as_it_was(is_on):
    @part
    def of_zero(x):
        return x[0]

    def kernel(x):
        return of_zero(x)

    function = compiled(kernel)
    was_on = gc.isenabled()
    try:
        gc.enable() if is_on else gc.disable()
        function(np.array([3.0]))
        assert gc.isenabled() == is_on
    finally:
        gc.enable() if was_on else gc.disable()
