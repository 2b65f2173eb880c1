"""The command line in this process and in one of its own."""

import os
import re
import subprocess
import sys

import pytest

from conftest import REPOSITORY
from fastbp.cli.main import main

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX alone")
SUBPROCESS = pytest.mark.subprocess
HEADER = ["rooms", "age", "price"]


def command(*arguments):
    return [sys.executable, "-m", "fastbp", *map(str, arguments)]


def environment():
    return os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": "utf-8"}


def run(*arguments, timeout=240):
    return subprocess.run(
        command(*arguments),
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=timeout,
    )


def error_of(capsys, *arguments):
    """The one line that bad input gives."""
    try:
        code = main([*map(str, arguments)])
    except SystemExit as exit:
        code = exit.code
    errors = capsys.readouterr().err
    assert code == 2
    assert errors.startswith("fastbp: error: ")
    assert errors.count("\n") == 1
    return errors


def r2_of(output):
    return float(re.search(r"Held-out R\^2 +(\S+)", output)[1])
