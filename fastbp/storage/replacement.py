"""A file that is replaced in one step: at any moment the old one is there, or the new one.

The new one is written beside the old, to a part. A process that is killed while it writes leaves
its part behind, and whoever writes the file next takes that away. A part is locked while somebody
writes it, and is then nobody's to take away; a process that is killed loses its locks.
"""

import os
import re
import secrets
import sys
from contextlib import suppress
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

__all__ = ["replace_file"]


def replace_file(path: str, content: bytes) -> None:
    """Put a file in the place of an older one, which stays as it was if that fails.

    Parameters
    ----------
    path : str
        Where, no symbolic link.
    content : bytes
        What the file is to hold.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    folder, name = os.path.split(path)
    _remove_parts(folder, name)  # before the disk is written to, which they may have filled
    file = _new_part(folder, name)
    part = file.name
    try:
        with file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()  # no open file is renamed there
            os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
    _sync_folder(folder)


def _new_part(folder: str, name: str) -> BinaryIO:
    """Open a new part, and lock it."""
    while True:
        part = os.path.join(folder, f".{name}.{secrets.token_hex(4)}.part")
        file = open(part, "xb")
        _lock(file, waits=True)
        if os.path.exists(part):  # nobody has taken it for a dead one before it was locked
            return file
        file.close()


def _remove_parts(folder: str, name: str) -> None:
    """Remove what killed processes have left of a file, as far as that is possible."""
    pattern = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.part")
    with suppress(OSError):
        for entry in filter(pattern.fullmatch, os.listdir(folder)):
            with suppress(OSError):
                _remove_unless_written(os.path.join(folder, entry))


def _remove_unless_written(part: str) -> None:
    if sys.platform == "win32":  # no open file is removed there
        os.unlink(part)
        return
    with open(part, "r+b") as file:
        if _lock(file, waits=False):
            os.unlink(part)


def _lock(file: BinaryIO, waits: bool) -> bool:
    """Lock a part until it is closed; whether that was possible, which it is not everywhere."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sync_folder(folder: str) -> None:
    """Have the new name on the disk too, where folders can be opened (not on Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # the file itself is safe, and some file systems cannot do this
    finally:
        os.close(descriptor)
