"""What all tests share: an isolated environment for compiled code, problems, and helpers."""

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
pytest.register_assert_rewrite("helpers")  # so that its asserts show values, too

REPOSITORY = Path(__file__).resolve().parent.parent
#: A test of so many cases is quick as a whole.
FEW_CASES = 6


@pytest.hookimpl(tryfirst=True)  # before pytest looks at -m
def pytest_collection_modifyitems(items):
    """Mark the cases of large tables as slow, but for a sample of each table."""
    tables = defaultdict(list)
    for item in items:
        if hasattr(item, "callspec"):
            tables[item.function].append(item)
    for table in tables.values():
        if len(table) > FEW_CASES:
            quick = set(_with_every_value(table))
            for item in table:
                if item not in quick:
                    item.add_marker(pytest.mark.slow)


def _with_every_value(table):
    """Yield a few cases in which each value of each parameter occurs."""
    values = {
        # scikit-learn's checks are partial calls, each a new one.
        item: {(name, id(getattr(v, "func", v))) for name, v in item.callspec.params.items()}
        for item in table
    }
    missing = set().union(*values.values())
    # Cases that bring most first: of a product of tables, this takes its diagonals.
    for n_new in range(len(table[0].callspec.params), 0, -1):
        for item in table:
            new = missing & values[item]
            if len(new) == n_new:
                missing -= new
                yield item


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


@pytest.fixture(autouse=True)
def no_interruption_before(monkeypatch):
    """Tests that interrupt a fit follow each other faster than a user's Ctrl-C."""
    monkeypatch.setattr("fastbp.training.interrupts._last", -float("inf"))


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
