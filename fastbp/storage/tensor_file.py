"""One file of arrays and a document, in the safetensors layout: written whole or not at all.

The layout: 8 bytes, the header's length, little-endian; the header, which is JSON padded with
spaces; the arrays' bytes, little-endian, one after the other without holes. The header says of each
array its dtype, shape and place, and under ``__metadata__`` holds text:

``format``          "fastbp"
``format_version``  "1"
``fastbp_version``  the version that wrote the file
``kind``            what it holds, "model" for instance
``document``        JSON, whose arrays are those of the file, by name
``sha256``          of the whole file, with 64 zeros in the place of these 64 digits

References
----------
The safetensors format, https://huggingface.co/docs/safetensors.
"""

import hashlib
import json
import math
import os
import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.storage.replacement import replace_file
from fastbp.version import __version__

__all__ = ["DTYPES", "read_file", "write_file"]

#: Which arrays there may be, by the format's name of their dtype.
DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_FORMAT, _VERSION = "fastbp", "1"
_MAX_HEADER, _MAX_DIMENSIONS = 100_000_000, 8
_NO_DIGEST = b"0" * 64
# In a string of the header the quotes would have backslashes before them.
_DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')


def write_file(
    path: str | os.PathLike[str], kind: str, document: Any, arrays: Mapping[str, NDArray]
) -> None:
    """Write a file in the place of an older one, which stays as it was if that fails.

    A device or a pipe is written to.

    Parameters
    ----------
    path : str or path-like
        Where.
    kind : str
        What the file holds.
    document : object
        What JSON can express.
    arrays : mapping of str to ndarray
        The arrays, of dtypes in `DTYPES`.

    Raises
    ------
    OSError
        If the file cannot be written. An older one is still there.
    """
    content = _to_bytes(kind, document, arrays)
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as device:  # or a pipe: it stays what it is
                device.write(content)
        else:
            replace_file(os.path.realpath(path), content)
    except OSError as error:
        raise OSError(
            error.errno, f"{error.strerror}; it is not written, an older one is as it was", path
        ) from error


def read_file(path: str | os.PathLike[str], kind: str) -> tuple[Any, dict[str, NDArray]]:
    """Read a file, and check all of it.

    Parameters
    ----------
    path : str or path-like
        Where.
    kind : str
        What the file has to hold.

    Returns
    -------
    document : object
        What JSON can express.
    arrays : dict of str to ndarray
        The arrays, each a copy of its own.

    Raises
    ------
    ValueError
        If it is no such file, or not as it was written.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        content = file.read()
    return _from_bytes(content, kind)


def _to_bytes(kind: str, document: Any, arrays: Mapping[str, NDArray]) -> bytes:
    header: dict[str, Any] = {
        "__metadata__": {
            "format": _FORMAT,
            "format_version": _VERSION,
            "fastbp_version": __version__,
            "kind": kind,
            "sha256": _NO_DIGEST.decode(),
            "document": json.dumps(document, allow_nan=False),
        }
    }
    parts, end = [], 0
    # The widest first: then each array begins where its dtype may be read in place.
    for name, array in sorted(arrays.items(), key=lambda each: -each[1].itemsize):
        dtype = array.dtype.newbyteorder("<")
        data = np.ascontiguousarray(array, dtype).tobytes()
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [end, end + len(data)],
        }
        parts.append(data)
        end += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    content = b"".join([struct.pack("<Q", len(text)), text, *parts])
    digest = hashlib.sha256(content).hexdigest().encode()
    return content.replace(b'"sha256":"' + _NO_DIGEST, b'"sha256":"' + digest, 1)


def _from_bytes(content: bytes, kind: str) -> tuple[Any, dict[str, NDArray]]:
    header, begin = _header(content)
    metadata = _metadata(header.pop("__metadata__", None))
    _check_digest(content[:begin], content)
    if metadata["kind"] != kind:
        raise ValueError(f"it holds a {metadata['kind']}, and a {kind} is wanted")
    arrays, end = {}, begin
    for name, entry in sorted(header.items(), key=_begin):
        arrays[name], end = _array(name, entry, content, begin, end)
    if end != len(content):
        raise ValueError(f"its arrays end at byte {end}, and the file at {len(content)}")
    return _json(metadata["document"], "its document"), arrays


def _header(content: bytes) -> tuple[dict, int]:
    """Give the header, and where it ends."""
    if len(content) < 8:
        raise ValueError(f"it has {len(content)} bytes, fewer than the shortest header")
    (length,) = struct.unpack("<Q", content[:8])
    if length > min(_MAX_HEADER, len(content) - 8):
        raise ValueError(
            f"its header is said to have {length} bytes, and the file has {len(content)}: it is "
            "cut off, or another kind of file"
        )
    try:
        text = content[8 : 8 + length].decode()
    except UnicodeDecodeError as error:
        raise ValueError("its header is no text") from error
    header = _json(text, "its header")
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, 8 + length


def _metadata(metadata: Any) -> dict[str, str]:
    if not isinstance(metadata, dict) or metadata.get("format") != _FORMAT:
        raise ValueError("it was not written by fastbp")
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata hold what is no text")
    version = metadata.get("format_version")
    if version != _VERSION:
        raise ValueError(
            f"it has format_version {version!r} of fastbp {metadata.get('fastbp_version')!r}, and "
            f"this fastbp {__version__} reads version {_VERSION}: install that fastbp, or a newer"
        )
    for key in ("fastbp_version", "kind", "document", "sha256"):
        if key not in metadata:
            raise ValueError(f"its metadata have no {key!r}")
    return metadata


def _check_digest(header: bytes, content: bytes) -> None:
    found = _DIGEST.findall(header)
    if len(found) != 1:
        raise ValueError(f"its header has {len(found)} checksums (sha256), and 1 is wanted")
    whole = _DIGEST.sub(b'"sha256":"' + _NO_DIGEST + b'"', header) + content[len(header) :]
    if hashlib.sha256(whole).hexdigest().encode() != found[0]:
        raise ValueError("its checksum (sha256) is wrong: it was damaged or changed")


def _begin(item: tuple[str, Any]) -> tuple[int, int]:
    """Where an array begins and ends."""
    name, entry = item
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"array {name!r} has no dtype, shape and data_offsets, and these alone")
    offsets = entry["data_offsets"]
    if not (_are_counts(offsets) and len(offsets) == 2):
        raise ValueError(f"array {name!r} has data_offsets {offsets!r}, not two whole numbers")
    return tuple(offsets)


def _array(
    name: str, entry: dict, content: bytes, begin: int, expected: int
) -> tuple[NDArray, int]:
    """Give an array, and where it ends in the file."""
    start, end = (begin + offset for offset in entry["data_offsets"])
    dtype, shape = entry["dtype"], entry["shape"]
    if not (isinstance(dtype, str) and dtype in DTYPES):
        raise ValueError(f"array {name!r} has dtype {dtype!r}, none of {list(DTYPES)}")
    if not _are_counts(shape) or len(shape) > _MAX_DIMENSIONS or max(shape, default=0) > 2**48:
        raise ValueError(f"array {name!r} has shape {shape!r}")
    n, itemsize = math.prod(shape), DTYPES[dtype].itemsize
    if start != expected or end - start != n * itemsize or end > len(content):
        raise ValueError(
            f"array {name!r} of shape {shape} and dtype {dtype} is said to be at bytes {start} to "
            f"{end} of {len(content)}, where the one before ends at {expected}: there are holes, "
            "overlaps, or the file is cut off"
        )
    array = np.frombuffer(content[start:end], DTYPES[dtype]).reshape(shape)
    if dtype == "BOOL" and (array.view(np.uint8) > 1).any():
        raise ValueError(f"array {name!r} of truth values has others than 0 and 1")
    return array.astype(array.dtype.newbyteorder("="), order="C", copy=True), end


def _are_counts(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers)


def _json(text: str, what: str) -> Any:
    """Parse strictly: no NaN, no key twice."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    def once(pairs: list[tuple[str, Any]]) -> dict:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key stands there twice")
        return dict(pairs)

    try:
        return json.loads(text, parse_constant=refuse, object_pairs_hook=once)
    except RecursionError as error:
        raise ValueError(f"{what} is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{what} is no JSON that fastbp writes ({error})") from error
