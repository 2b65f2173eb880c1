"""No kernel reads or writes a byte beside an array: all arrays lie beside unreadable pages.

What is run and how is in `helpers.guard_sweep` and `helpers.guard_pages`.
"""

import os
import signal

import pytest

pytestmark = [
    pytest.mark.subprocess,
    pytest.mark.skipif(os.name != "posix", reason="mprotect is POSIX"),
]


def _sweep(python, step, timeout):
    """Go through every step-th case; returns how many there were, and the calls of each kernel."""
    code = f"from helpers.guard_sweep import main; main({step})"
    n_cases, *n_calls = python(code, timeout=timeout).split()
    return int(n_cases), {name: int(n) for name, n in (each.split(":") for each in n_calls)}


def test_a_sample_of_networks_through_every_kernel(python):
    n_cases, n_calls = _sweep(python, 29, timeout=480)
    assert n_cases > 40
    assert {"accumulate", "add_normal_equations", "learn_one", "online_epochs"} < n_calls.keys()
    assert min(n_calls.values()) > 0, n_calls


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_networks_of_all_sizes_through_every_kernel(python):
    """The whole takes some minutes: ``python -m helpers.guard_sweep``, from ``tests/``."""
    n_cases, n_calls = _sweep(python, 5, timeout=1200)
    assert n_cases > 200
    assert min(n_calls.values()) > 20, n_calls


def test_a_workspace_too_short_by_one_number_is_found(python):
    code = """
from fastbp.backends.cpu import kernels
from helpers.guard_sweep import main
make_workspace = kernels.make_workspace
def make_too_short(*arguments, **keywords):
    workspace = make_workspace(*arguments, **keywords)
    return workspace._replace(gradient=workspace.gradient[:-1])
kernels.make_workspace = make_too_short
main(29)
"""
    assert python(code, returncode=-signal.SIGSEGV) == ""


@pytest.mark.parametrize(("side", "offset"), [("begin", -1), ("end", 5 * 3)])
@pytest.mark.parametrize("access", ["string_at(place, 1)", "memset(place, 0, 1)"])
def test_a_byte_beside_an_array_cannot_be_read_or_written(side, offset, access, python):
    code = f"""
import ctypes, numpy as np
from helpers.guard_pages import copy_beside_guard
original = np.arange(15, dtype=np.uint8).reshape(5, 3)
array = copy_beside_guard(original, {side!r})
assert (array == original).all()
array[:] = 7
print("a fault is to come", flush=True)
place = ctypes.c_void_p(array.ctypes.data + {offset})
ctypes.{access}
"""
    assert python(code, returncode=-signal.SIGSEGV).strip() == "a fault is to come"
