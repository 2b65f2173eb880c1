"""C and C++ that is compiled on the spot, for this processor."""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

FLAGS = ("-O3", "-march=native", "-ffast-math", "-DNDEBUG", "-shared", "-fPIC", "-w")


def compiler(suffix=".c"):
    """Find the compiler of sources with a suffix, or None."""
    names = ("gcc", "cc") if suffix == ".c" else ("g++", "c++")
    return next(filter(None, map(shutil.which, names)), None)


def missing_parts(headers, *options):
    """Say which of a C++ compiler, headers and libraries that it is to link is not there, or None.

    It is the compiler that is asked, with the options of the source that wants them.
    """
    command = compiler(".cpp")
    if command is None:
        return "no C++ compiler"
    flags = tuple(option for option in options if not option.startswith("-l"))
    for header in headers:
        if not _compiles(command, f"#if !__has_include(<{header}>)\n#error\n#endif\n", flags):
            return f"{header} is not installed"
    absent = [
        f"lib{option[2:]} is not installed"
        for option in options
        if option.startswith("-l") and not _compiles(command, "", (option,))
    ]
    return absent[0] if absent else None


@cache
def _compiles(command, code, options):
    with tempfile.TemporaryDirectory(prefix="fastbp-bench-") as folder:
        out = str(Path(folder, "probe.so"))
        command = [command, "-shared", "-fPIC", "-x", "c++", "-", "-o", out, *options]
        return subprocess.run(command, input=code, text=True, capture_output=True).returncode == 0


@cache
def shared_library(source, dtype, *options):
    """Compile a source, with ``REAL`` of a dtype where it asks for ``SINGLE``, and load it."""
    folder = Path(tempfile.mkdtemp(prefix="fastbp-bench-"))
    single = ["-DSINGLE"] if dtype == np.float32 else []
    out = folder / f"{source.stem}.so"
    command = [compiler(source.suffix), *FLAGS, *single, str(source), "-o", str(out), *options]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(out))
