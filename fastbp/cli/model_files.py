"""Models and results in files: fastbp's own format, or joblib's where the suffix says so."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib

from fastbp.cli.csv_file import STANDARD
from fastbp.cli.terminal import InputError
from fastbp.persistence.model_file import load, save

__all__ = ["check_can_write", "is_own", "load_model", "save_model", "write_file"]

_JOBLIB = ".joblib"


def is_own(path: Path) -> bool:
    """Whether a model's file is of fastbp's own format."""
    return path.suffix != _JOBLIB


def load_model(path: Path) -> Any:
    """Load a model; InputError if the file holds none."""
    try:
        model = load(path) if is_own(path) else joblib.load(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # of a joblib file: whatever the code in it raises
        if is_own(path):
            raise InputError(str(error)) from error
        raise InputError(
            f"{path} holds no model that joblib loads: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(model, "predict"):
        raise InputError(f"{path} holds no model, but a {type(model).__name__}")
    return model


def save_model(model: Any, path: Path) -> str:
    """Save a model, and give the Python expression that loads it."""
    if not is_own(path):
        write_file(path, lambda beside: joblib.dump(model, beside))
        return f"joblib.load({str(path)!r})"
    write_file(path, lambda beside: save(model, beside))
    return f"fastbp.load({str(path)!r})"


def write_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside the file and put it in its place: an older one is lost by no failure.

    A device or a pipe is written to, and stays what it is.
    """
    try:
        if _is_device(path):
            write(path)
            return
        place = path.resolve()  # a link stays a link
        beside = place.with_name(f"{place.name}.{os.getpid()}.part")
        try:
            write(beside)
            os.replace(beside, place)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


def check_can_write(path: Path, *read: Path) -> None:
    """Find out before the work, and leave no file behind; InputError for a file that is read."""
    if path == STANDARD or _is_device(path):
        return
    for other in read:
        if path.exists() and other.exists() and path.samefile(other):
            raise InputError(f"writing {path} would overwrite what is read; give another name")
    is_new = not path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    if is_new:
        path.resolve().unlink()


def _is_device(path: Path) -> bool:
    """Whether it is a device or a pipe, such as /dev/null."""
    return path.exists() and not (path.is_file() or path.is_dir())
