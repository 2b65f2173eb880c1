"""Every kernel of the GPU, compiled to PTX once: the simulator runs kernels, but types no code.

No GPU is needed. The arguments' types are those that `Fleet` and `FullPass` launch kernels with:
they are run on arrays of the host, and their launches are recorded instead of made.
"""

import ast
import re
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numba
import numpy as np
import pytest
from scipy import sparse

import fastbp
from fastbp import Network
from fastbp.model.data import as_data
from fastbp.model.objective import NO_PATIENCE, EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments
from helpers.cases import RULES

if numba.config.ENABLE_CUDASIM:
    pytest.skip("NUMBA_ENABLE_CUDASIM is set: kernels are not compiled", allow_module_level=True)
pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
cuda = pytest.importorskip("numba.cuda")
nvvm = pytest.importorskip("numba.cuda.cudadrv.nvvm")
if not nvvm.is_available():
    pytest.skip("NVVM (package nvidia-cuda-nvcc) is not installed", allow_module_level=True)

from numba.cuda.typing.typeof import typeof  # noqa: E402

from fastbp.backends.gpu.data import DeviceTables  # noqa: E402
from fastbp.backends.gpu.fleet import Fleet  # noqa: E402
from fastbp.backends.gpu.full_pass import FullPass  # noqa: E402
from fastbp.backends.gpu.kernels import (  # noqa: E402
    BatchKernels,
    FullPassKernels,
    add_up,
    batch_kernels,
    full_pass_kernels,
    online_kernel,
    own_records_of,
)
from fastbp.backends.gpu.objective import DeviceObjective  # noqa: E402
from fastbp.backends.gpu.tiling import BYTES_OF_SUMS  # noqa: E402
from fastbp.machine import gpu, gpu_kernels  # noqa: E402
from fastbp.model.fleet import FleetMember  # noqa: E402
from helpers.own_records import CUBED, GAUSS  # noqa: E402

pytestmark = pytest.mark.slow
PTXAS = shutil.which("ptxas")
#: Kernels with a user's own records hold all that is in those without.
NETWORK = Network((5, 20, 2), GAUSS, CUBED)
OWN = own_records_of([NETWORK])


class Case(NamedTuple):
    """A kernel: its name, for tiles of 4, 8, ... rows a thread or for a rule, and its dtype."""

    name: str
    variant: int | str
    in_shared: bool
    dtype: str

    @property
    def kernel(self):
        if self.name == "online_epochs":
            return online_kernel(self.variant, self.in_shared, OWN)
        if self.name == "add_up":
            return add_up
        makers = (full_pass_kernels, batch_kernels)
        make = makers[self.name in BatchKernels._fields]
        return getattr(make(self.variant, self.in_shared, OWN), self.name)

    def __str__(self):
        place = "shared" if self.in_shared else "global"
        return f"{self.name}-{self.variant}-{place}-{self.dtype}"


TILED = FullPassKernels._fields + BatchKernels._fields
VARIANTS = [(name, n_fours) for name in TILED for n_fours in (1, 2)]
VARIANTS += [("online_epochs", rule) for rule in RULES]
CASES = [
    Case(name, variant, in_shared, dtype)
    for name, variant in VARIANTS
    for in_shared in (True, False)
    for dtype in ("float32", "float64")
] + [Case("add_up", 1, False, dtype) for dtype in ("float32", "float64")]
#: Of float64 each size of a square and each place, but not each with each: that saves ten seconds.
COMPILED = [
    case
    for case in CASES
    if case.dtype == "float32" or case.name not in TILED or case.in_shared == case.variant - 1
]
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=str)
EVERY_COMPILED = pytest.mark.parametrize("case", COMPILED, ids=str)
EVERY_SINGLE = pytest.mark.parametrize(
    "case", [case for case in CASES if case.dtype == "float32"], ids=str
)
EVERY_TILED = pytest.mark.parametrize(
    "case", [case for case in COMPILED if case.name in TILED], ids=str
)


# What is launched.


@contextmanager
def _no_device(max_shared_bytes):
    """Stand in for the device: arrays stay on the host, and launches are recorded."""
    launches = []

    def launch(kernel, _n_blocks, _n_threads, shared_bytes, *arguments):
        assert shared_bytes <= max_shared_bytes
        launches.append((kernel, arguments))

    def max_blocks(*arguments):
        launch(*arguments[:1], 1, *arguments[1:])
        return 4

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "to_device", lambda array: np.array(array, order="C"))
        patch.setattr(gpu, "to_host", lambda array: array)
        patch.setattr(gpu, "max_shared_bytes", lambda: max_shared_bytes)
        patch.setattr(gpu, "launch", launch)
        patch.setattr(gpu, "max_blocks", max_blocks)
        yield launches


def _tables(dtype):
    """Data with and without weights, dense and sparse, of 3000 rows: more than 128 small tiles."""
    X, y = np.ones((3000, 5), dtype), np.ones((3000, 2), dtype)
    for inputs in (X, sparse.csr_matrix(X)):
        for weights in (None, y[:, 0]):
            yield as_data(inputs, y, weights)


def _member(batch_size, dtype):
    parameters = np.ones(NETWORK.n_parameters, dtype)
    moments = Moments.zeros(parameters.size, dtype)
    return FleetMember(NETWORK, 0, 0.1, batch_size, parameters, moments, Shuffles(None))


def _train(members, data, rule):
    fleet = Fleet(members, DeviceTables([data]), rule.record)
    fleet.epochs({i: EpochPlan(rule, NO_PATIENCE, 3) for i in range(len(members))})


@cache
def _launches(dtype):
    """From a case to the arguments of each of its launches, for all that trains and predicts."""
    dtype, launches = np.dtype(dtype), {}
    cases = {id(case.kernel): case for case in CASES if case.dtype == dtype.name}
    parameters = np.ones(NETWORK.n_parameters, dtype)
    # Much, and so little that there is room for a sample, but neither for weights nor for a tile.
    for max_shared_bytes in (200_000, BYTES_OF_SUMS + 375 * dtype.itemsize):
        for data in _tables(dtype):
            with _no_device(max_shared_bytes) as of_it:
                few = as_data(data.X[:50], data.y[:50]) if len(data.X) else data
                for each in (few, data):
                    FullPass(NETWORK, DeviceTables([each])).predict(parameters)
                    FullPass(NETWORK, DeviceTables([each])).sums(parameters)
                objective = DeviceObjective(NETWORK, data, 0.1)
                objective.loss_and_gradient(parameters)
                for rule in RULES.values():
                    for batch_size in (1, 8, 3000):
                        _train([_member(batch_size, dtype)], data, rule)
                        _train([_member(batch_size, dtype)] * 2, data, rule)
                    moments = Moments.zeros(parameters.size, dtype)
                    run = objective.run(parameters, 8, rule, moments, Shuffles(None))
                    run.epochs(EpochPlan(rule, NO_PATIENCE, 1))
            for kernel, arguments in of_it:
                launches.setdefault(cases.get(id(kernel), kernel), []).append(arguments)
    return launches


def _signature(arguments):
    return tuple(typeof(argument) for argument in arguments)


def test_every_kernel_of_the_package_is_in_the_table():
    """One that is added belongs here: to `BatchKernels`, `FullPassKernels` or the cases above."""
    names = set()
    for source in Path(fastbp.__file__).parent.rglob("*.py"):
        text = source.read_text()
        if not re.search(r"from fastbp\.machine\.gpu_kernels import .*\bkernel\b", text):
            continue
        for node in ast.walk(ast.parse(text)):
            decorators = getattr(node, "decorator_list", [])
            if any(re.search(r"\b(kernel|jit)\b", ast.unparse(each)) for each in decorators):
                names.add(node.name)
    assert names == {case.name for case in CASES}
    assert all(case.kernel.py_func.__name__ == case.name for case in CASES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kernel_of_the_table_is_launched_and_no_other(dtype):
    assert set(_launches(dtype)) == {case for case in CASES if case.dtype == dtype}


@EVERY_CASE
def test_a_kernel_is_launched_with_arguments_of_one_type(case):
    """Dense or sparse, weighted or not, one network or many: else it is compiled once more."""
    launches = _launches(case.dtype)[case]
    assert len(launches) > 1
    assert len({_signature(arguments) for arguments in launches}) == 1


# What the compiler makes of it.


@cache
def _ptx(case):
    device = SimpleNamespace(compute_capability=(9, 0))
    signature = _signature(_launches(case.dtype)[case][0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("numba.cuda.dispatcher.get_current_device", lambda: device)
        ptx, _ = cuda.compile(
            case.kernel.py_func, signature, device=False, cc=(9, 0), abi="numba", fastmath=False
        )
    if PTXAS is not None:
        _assembled(case, ptx)  # while the next one is compiled
    return ptx


_background = ThreadPoolExecutor(1)
_assemblies = {}


def _assembled(case, ptx):
    """Begin to assemble a kernel's PTX; returns what will tell how it went."""
    if case not in _assemblies:
        command = [PTXAS, "-arch=sm_90", f"-maxrregcount={gpu_kernels._MAX_REGISTERS}", "-v"]
        if case.name == "batch_epochs":
            command += ["-c"]  # the barrier of a grid is in CUDA's own library: leave it open
        command += ["-", "-o", "/dev/null"]
        _assemblies[case] = _background.submit(
            subprocess.run, command, input=ptx, capture_output=True, text=True, timeout=120
        )
    return _assemblies[case]


def _instructions(ptx):
    return Counter(re.findall(r"^\s+(?:@!?%p\d+ )?([a-z]\w*(?:\.\w+)*)\s", ptx, re.MULTILINE))


def _count(instructions, pattern):
    return sum(n for name, n in instructions.items() if re.fullmatch(pattern, name))


@EVERY_COMPILED
def test_it_compiles_and_multiplies_in_its_dtype(case):
    instructions = _instructions(_ptx(case))
    short = "f32" if case.dtype == "float32" else "f64"
    if case.name == "add_up":
        assert _count(instructions, rf"add(\.rn)?\.{short}") > 0
    else:
        assert _count(instructions, rf"fma\.rn\.{short}") >= 64  # four by four rows at least


#: In a float32 kernel: products of float64, all arithmetic of float64, and float32 numbers that
#: become float64, at most. What there is are sums of losses, step sizes (Adam's has two powers),
#: and libdevice's sine, which reduces huge angles so: some in all, and none in a loop over weights.
MAX_DOUBLE = {
    "add_up": (0, 0, 0),
    "predict": (0, 4, 0),
    "sum_rows": (0, 12, 2),
    "batch_epochs": (60, 150, 12),
    "many_batch_epochs": (60, 150, 12),
    "online_epochs": (8, 40, 12),
    "online_epochs with step sizes": (60, 150, 14),
}


@EVERY_SINGLE
def test_float32_is_computed_in_float32(case):
    instructions = _instructions(_ptx(case))
    counts = (
        _count(instructions, r"fma\..*f64"),
        _count(instructions, r"(add|sub|mul|fma|div|rcp|sqrt|rsqrt)\..*f64"),
        _count(instructions, r"cvt\..*f64\.f32"),
    )
    has_step_size = case.name == "online_epochs" and RULES[case.variant].record.step_size
    limits = MAX_DOUBLE[f"{case.name} with step sizes" if has_step_size else case.name]
    assert all(n <= limit for n, limit in zip(counts, limits, strict=True)), counts


@EVERY_TILED
def test_a_tiles_numbers_are_loaded_sixteen_bytes_at_a_time(case):
    instructions = _instructions(_ptx(case))
    wide = r"\.v4\.(f|b|u)32" if case.dtype == "float32" else r"\.v2\.(f|b|u)64"
    place = "shared" if case.in_shared else "global"
    assert _count(instructions, rf"ld\.{place}{wide}") > 0
    assert _count(instructions, rf"st\.{place}{wide}") > 0
    # Weights lie in the device's memory.
    assert _count(instructions, rf"ld\.global(\.nc)?{wide}") > 0


@EVERY_COMPILED
@pytest.mark.skipif(PTXAS is None, reason="ptxas is not on the PATH")
def test_the_assembler_finds_registers_for_it(case):
    result = _assembled(case, _ptx(case)).result()
    assert result.returncode == 0, result.stderr
    assert "error" not in result.stderr
    spilt = [int(n) for n in re.findall(r"(\d+) bytes spill stores", result.stderr)]
    assert spilt, result.stderr
    limit = {"float32": 400, "float64": 600}[case.dtype]
    assert max(spilt) <= (limit if case.name != "batch_epochs" else limit + 300)  # left open: more
