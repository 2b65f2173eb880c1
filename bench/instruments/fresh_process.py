"""A Python process of its own: one thread, and a cache of compiled code that we choose."""

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["run_python"]

REPOSITORY = str(Path(__file__).resolve().parents[2])


def run_python(code, cache, *arguments):
    """Run code and return what it printed; ``cache`` is its NUMBA_CACHE_DIR."""
    path = os.pathsep.join(filter(None, (REPOSITORY, os.environ.get("PYTHONPATH"))))
    environment = os.environ | {
        "PYTHONPATH": path,
        "NUMBA_CACHE_DIR": str(cache),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout
