"""Where compiled code is kept between processes: the user's own folder, one directory a version.

numba's own cache (``cache=True``) does not notice when a function changes that a kernel calls from
another file, raises when there is no writable folder, and raises again at every call when one of
its files is damaged. So the kernels have a cache of their own with three differences:

- the directory's name is a digest of all of this package's sources, of the versions and of the
  compiler's settings: other code never meets old machine code;
- anything that goes wrong in it, from a full disk to a truncated file, means "not cached";
- it is used only if it belongs to the user and nobody else may write there: reading compiled code
  is running it.

It changes nothing for the user's own numba functions. NUMBA_CACHE_DIR moves it.
"""

import hashlib
import os
import re
import shutil
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import caching, config

__all__ = ["cache_directory", "kernel_cache"]

#: How many versions' directories are kept, the current one included.
_VERSIONS_KEPT = 8

#: A file that says that a directory is ours, and its name what it looks like: only such a one is
#: ever deleted.
_MARKER = "fastbp-cache"
_NAME = re.compile(r"[0-9a-f]{24}")

#: Settings of numba that change the code it makes.
_SETTINGS = (
    "BOUNDSCHECK CPU_NAME CPU_FEATURES ENABLE_AVX OPT LOOP_VECTORIZE SLP_VECTORIZE "
    "DEBUGINFO_DEFAULT"
).split()


def kernel_cache(function: Callable) -> Any:
    """Give the cache of one kernel: ours, or none where no directory will do."""
    directory = cache_directory()
    if directory is None:
        return caching.NullCache()
    try:
        return _KernelCache(function)
    except Exception:  # numba's internals may change: then nothing is cached, and all still works
        return caching.NullCache()


@cache
def cache_directory() -> Path | None:
    """Find, and make, the directory for the code of this version; None if there is none to use.

    Returns
    -------
    directory : Path or None
        A directory of the user's own, or None after one RuntimeWarning that says why.
    """
    try:
        root = _user_folder() / "fastbp"
        directory = root / _digest()
        for folder in (root, directory):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_foreign(folder)
        probe = directory / f"probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
        if not (directory / _MARKER).exists():
            (directory / _MARKER).touch()
        os.utime(directory)  # "last used" is what pruning goes by
        _prune(root)
    except (OSError, RuntimeError) as error:
        warnings.warn(
            f"fastbp keeps no compiled code and will compile anew in every process: {error}. "
            "Set NUMBA_CACHE_DIR to a directory that you alone can write.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return directory


def _user_folder() -> Path:
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _refuse_foreign(folder: Path) -> None:
    if sys.platform == "win32":
        return  # a user's LOCALAPPDATA is private there
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise RuntimeError(f"{folder} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RuntimeError(f"{folder} can be written by others (chmod go-w makes it yours)")


def _digest() -> str:
    hasher = hashlib.sha256()
    for name, content in sorted(_sources(resources.files("fastbp"))):
        hasher.update(f"{name} {len(content)} ".encode() + content)
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    settings = tuple(str(getattr(config, name, None)) for name in _SETTINGS)
    hasher.update(repr(versions + settings).encode())
    return hasher.hexdigest()[:24]


def _sources(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, entry.read_bytes()


def _prune(root: Path) -> None:
    """Delete the versions unused for longest; the folder may hold a user's own files."""
    versions = [path for path in root.iterdir() if _is_ours(path)]
    versions.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for old in versions[_VERSIONS_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _is_ours(path: Path) -> bool:
    return (
        _NAME.fullmatch(path.name) is not None
        and path.is_dir()
        and not path.is_symlink()
        and (path / _MARKER).is_file()
    )


class _Locator(caching._CacheLocator):
    """Tell numba where a kernel's files are; the directory's name is the stamp."""

    def __init__(self, function: Callable) -> None:
        self._function = function

    def get_cache_path(self) -> str:
        return str(cache_directory())

    def get_source_stamp(self) -> str:
        return "the directory's name says it"

    def get_disambiguator(self) -> str:
        return str(self._function.__code__.co_firstlineno)

    @classmethod
    def from_function(cls, function: Callable, _file: str) -> "_Locator":
        return cls(function)


class _KernelCacheImpl(caching.CompileResultCacheImpl):
    """numba's way of writing code down, at our place whatever locators the user configured."""

    def __init__(self, function: Callable) -> None:
        self._locator = _Locator(function)
        name = f"{function.__module__}.{function.__qualname__}"
        self._filename_base = self.get_filename_base(name, getattr(sys, "abiflags", ""))


class _KernelCache(caching.FunctionCache):
    """numba's cache of one function, for which no fault is more than a miss."""

    _impl_class = _KernelCacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load compiled code, or None."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            self._forget()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save compiled code, if that is possible."""
        try:
            super().save_overload(sig, data)
        except Exception:
            self._forget()

    def _forget(self) -> None:
        try:
            self.flush()
        except Exception:
            self.disable()
