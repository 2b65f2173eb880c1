"""What all tests share: an isolated environment for compiled code, problems, and helpers."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def rng():
    return np.random.default_rng(20240711)


@pytest.fixture
def problem(rng):
    """Make a regression problem: problem(n_samples, n_features, n_outputs) -> X, y."""

    def make(n_samples=60, n_features=5, n_outputs=1, dtype=np.float64, positive=False):
        X = rng.standard_normal((n_samples, n_features))
        y = np.tanh(X @ rng.standard_normal((n_features, n_outputs)))
        y += 0.1 * rng.standard_normal((n_samples, n_outputs))
        if positive:
            y = np.round(2 * np.exp(y))
        y = y[:, 0] if n_outputs == 1 else y
        return X.astype(dtype), y.astype(dtype)

    return make


@pytest.fixture
def python(tmp_path):
    """Run Python code in a process of its own, under a hard timeout; returns its output."""

    def run(code, *, timeout=240, returncode=0, arguments=(), **environment):
        path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])  # with the helpers
        env = os.environ | {"PYTHONPATH": path} | environment
        result = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={name: value for name, value in env.items() if value is not None},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert result.returncode == returncode, result.stderr
        return result.stdout

    return run
