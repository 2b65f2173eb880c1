"""The benchmark of the GPU at its smallest: it runs to its end, and all that it checks agrees."""

import os
import re
import subprocess
import sys

import pytest

from conftest import REPOSITORY
from fastbp.backends.device import has_gpu, why_no_gpu

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)
pytest.importorskip("cpuinfo", reason="needs pytest-benchmark's py-cpuinfo")

from fastbp.machine.gpu_kernels import SIMULATED

pytestmark = [pytest.mark.gpu, pytest.mark.subprocess]

SCRIPT = REPOSITORY / "bench" / "run.py"
#: Adam in two sizes of batches, the gradient, predictions, and four kinds of orders online.
N_CASES = 8
#: One a case, one more for the gradient in float64, and one of the fit, which is no row.
N_CHECKS = N_CASES + 2
#: A number with a unit of time, or of what is measured by it.
MEASURED = re.compile(r"\d *(?:[mnuµ]?s|%|[GMTk]?B/s|[GMT]?FLOP/s|samples/s)(?!\w)")


def test_try_out_checks_everything(tmp_path):
    result = subprocess.run(
        [sys.executable, SCRIPT, "cuda", "--try-out", "--quick"],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    said = result.stdout
    assert result.returncode == 0, said + result.stderr
    assert "FAILED" not in said and "Failed" not in said, said
    assert "Traceback" not in result.stderr, result.stderr

    cells = [line.split(" | ") for line in said.splitlines() if line.startswith("| ")][2:]
    own = [row for row in cells if row[1] == "float32"]
    assert len(own) == N_CASES, said
    assert said.count(", to ") == N_CHECKS, said
    assert "A fit costs" in said, said
    if SIMULATED:
        assert {cell.strip(" |") for row in cells for cell in row[2:]} <= {"simulated", ""}, said
        assert not MEASURED.search(said), MEASURED.search(said)
