"""Where compiled code is kept between processes: the user's own folder, one directory a version.

numba's own cache (``cache=True``) does not notice when a function changes that a kernel calls from
another file, raises when there is no writable folder, and raises again at every call when one of
its files is damaged. So the kernels have a cache of their own with five differences:

- the directory's name is a digest of the sources that machine code can come from, of the versions
  and of the compiler's settings: other code never meets old machine code;
- every file begins with a checksum of its name and content: a damaged one, or one in another's
  place, would end the process, and is deleted and compiled anew instead;
- anything that goes wrong in it, from a full disk to a truncated file, means "not cached";
- of many processes that start at once, one compiles a kernel (``compiling_once.py``);
- it is used only if it belongs to the user and nobody else may write there: reading compiled code
  is running it.

It changes nothing for the user's own numba functions. NUMBA_CACHE_DIR moves it.
"""

import hashlib
import os
import pickle
import re
import shutil
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import caching, config

from fastbp.machine import IMPORTED_AT
from fastbp.machine.compiling_once import missed

__all__ = ["cache_directory", "kernel_cache"]

#: How many versions' directories are kept, the current one included.
_VERSIONS_KEPT = 8

#: A file that says that a directory is ours, and its name what it looks like: only such a one is
#: ever deleted.
_MARKER = "fastbp-cache"
_NAME = re.compile(r"[0-9a-f]{24}")

_CHECKSUM_BYTES = 32

_OWN_PLACE = "Set NUMBA_CACHE_DIR to a directory that you alone can write."

#: Folders that machine code is made of; those above them import these, never the other way.
_COMPILED_ROOMS = ("backends", "machine", "model")
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
        user_folder = _user_folder()
        root = user_folder / "fastbp"
        directory = root / _digest()
        user_folder.mkdir(parents=True, exist_ok=True)
        if not user_folder.stat().st_mode & stat.S_ISVTX:  # as in /tmp: all write, each their own
            _refuse_shared(user_folder)
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
        _warn_once(str(error) if isinstance(error, RuntimeError) else f"{error}. {_OWN_PLACE}")
        return None
    return directory


@cache
def _warn_once(why: str) -> None:
    warnings.warn(
        f"fastbp keeps no compiled code and will compile anew in every process: {why}",
        RuntimeWarning,
        stacklevel=2,
    )


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
        raise RuntimeError(f"{folder} belongs to another user. {_OWN_PLACE}")
    _refuse_shared(folder)


def _refuse_shared(folder: Path) -> None:
    if sys.platform != "win32" and folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise RuntimeError(
            f"{folder} can be written by others (chmod go-w makes it yours). {_OWN_PLACE}"
        )


def _digest() -> str:
    hasher = hashlib.sha256()
    for entry in sorted(_sources(resources.files("fastbp"), ""), key=lambda entry: entry[0]):
        name, source = entry
        if isinstance(source, Path) and source.stat().st_mtime > IMPORTED_AT:
            raise RuntimeError(f"{name} has changed since fastbp was imported. Restart Python.")
        content = source.read_bytes()
        hasher.update(f"{name} {len(content)} ".encode() + content)
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    settings = tuple(str(getattr(config, name, None)) for name in _SETTINGS)
    hasher.update(repr(versions + settings).encode())
    return hasher.hexdigest()[:24]


def _sources(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            if prefix or entry.name in _COMPILED_ROOMS:
                yield from _sources(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".py"):
            yield prefix + entry.name, entry


def _prune(root: Path) -> None:
    """Delete the versions unused for longest; the folder may hold a user's own files."""
    with suppress(OSError):  # another process may be deleting the same ones
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


class _CheckedFiles(caching.IndexDataCacheFile):
    """numba's index and code files of one function, each behind its checksum.

    Code stands beside its key: of two processes that save at once, each with an index of its own,
    the index of one may lead to the code of the other.
    """

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (key, data))

    def load(self, key: Any) -> Any:
        found, data = super().load(key) or (None, None)
        return data if found == key else None

    def _load_index(self) -> dict:
        return self._read(self._index_path) or {}

    def _save_index(self, overloads: dict) -> None:
        self._write(self._index_path, overloads)

    def _load_data(self, name: str) -> Any:
        return self._read(self._data_path(name))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _read(self, path: str) -> Any:
        """Load what was written there; None where there is nothing whole, which is deleted."""
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            return None
        checksum, data = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
        if checksum != _checksum(path, data):
            Path(path).unlink(missing_ok=True)
            return None
        return pickle.loads(data)  # noqa: S301 - the user's own folder, see `cache_directory`

    def _write(self, path: str, content: Any) -> None:
        data = self._dump(content)
        with self._open_for_write(path) as file:
            file.write(_checksum(path, data) + data)


def _checksum(path: str, data: bytes) -> bytes:
    return hashlib.sha256(Path(path).name.encode() + b" " + data).digest()


class _KernelCache(caching.FunctionCache):
    """numba's cache of one function, for which no fault is more than a miss."""

    _impl_class = _KernelCacheImpl

    def __init__(self, function: Callable) -> None:
        super().__init__(function)
        self._cache_file = _CheckedFiles(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=self._impl.locator.get_source_stamp(),
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load compiled code; None tells who is to compile it that there is none."""
        try:
            found = super().load_overload(sig, target_context)
        except Exception:
            self._forget()
            found = None
        if found is None and self._enabled:
            missed(Path(self._cache_path) / f"{self._impl.filename_base}.lock")
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save compiled code, if that is possible."""
        try:
            super().save_overload(sig, data)
        except Exception as error:
            if isinstance(error, OSError):
                _warn_once(f"{error}. Make room there, or set NUMBA_CACHE_DIR to another place.")
            self._forget()

    def _forget(self) -> None:
        try:
            self.flush()
        except Exception:
            self.disable()
