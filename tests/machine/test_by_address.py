"""Loops that kernels call by address."""

import numpy as np

from fastbp.machine import by_address
from fastbp.machine.by_address import address_of, call, numbers_at
from fastbp.machine.simd import lanes, load, store
from helpers.guards import DTYPES, NEEDS_A_COMPILER, assert_guards_untouched, compiled, guarded

pytestmark = NEEDS_A_COMPILER


def _times(factor):
    def loop(a, b, n):
        a, b = numbers_at(a, n), numbers_at(b, n)
        total = 0.0
        for i in range(0, n, lanes(a)):
            store(b, i, factor * load(a, i))
        for i in range(n):
            total += b[i]
        return float(total)

    return loop


def _call(address, a, b):
    return call(address, (a, b))


@DTYPES
def test_one_kernel_calls_whatever_loop_an_address_is_of(dtype):
    run = compiled(_call)
    addresses = [address_of(_times(factor), dtype, 2, is_kept=False) for factor in (2, 3)]
    for address, factor in zip(addresses, (2, 3), strict=True):
        a, b = guarded(np.arange(32, dtype=dtype)), guarded(np.zeros(32, dtype))
        assert run(address, a, b) == factor * a.sum()
        np.testing.assert_array_equal(b, factor * a)
        assert_guards_untouched(a, b)
    assert len(run.signatures) == 1


def test_in_python_a_call_looks_the_loop_up(monkeypatch):
    monkeypatch.setitem(by_address._LOOPS, -1, lambda *arguments: arguments)
    a = np.ones(3)
    assert call(-1, (a, a)) == (a, a, 3)
