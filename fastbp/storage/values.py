"""Values to JSON and arrays, and back: numbers, text, arrays, lists, tuples, dicts, RandomStates.

That is a closed list. What a file says is looked up here and checked; it names no class or function
that would be imported.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from fastbp.storage.tensor_file import DTYPES

__all__ = ["Arrays", "decode", "decode_fields", "encode", "encode_fields"]

#: The arrays of a file, by name.
Arrays = dict[str, NDArray]

_DTYPES = {dtype.newbyteorder("=") for dtype in DTYPES.values()}
_SCALARS = {dtype.name: dtype for dtype in _DTYPES}
_MAX_INTEGER = 2**63  # of numbers of iterations, rows, steps


def encode(value: Any, name: str, arrays: Arrays) -> Any:
    """Express a value in JSON.

    Parameters
    ----------
    value : object
        The value.
    name : str
        What it is; the arrays in it are called after it.
    arrays : dict of str to ndarray
        Where arrays are put.

    Returns
    -------
    document : object
        What JSON can express.

    Raises
    ------
    ValueError
        If the value is, or holds, anything else.
    """
    if isinstance(value, np.generic) and not isinstance(value, np.str_):
        if value.dtype in _DTYPES:
            item = encode(value.item(), name, arrays)
            return {"scalar": item, "dtype": value.dtype.name}
    elif value is None or isinstance(value, bool):
        return value
    elif type(value) in (str, np.str_):
        return str(value)
    elif type(value) is int:
        return value
    elif type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    elif type(value) is list:
        return [encode(one, f"{name}.{i}", arrays) for i, one in enumerate(value)]
    elif type(value) is tuple:
        return {"tuple": encode(list(value), name, arrays)}
    elif type(value) is dict:
        pairs = [[key, one] for key, one in value.items()]
        return {"dict": encode(pairs, name, arrays)}
    elif type(value) is np.ndarray:
        return _encode_array(value, name, arrays)
    elif type(value) is np.random.RandomState:
        return _encode_generator(value, name, arrays)
    elif isinstance(value, os.PathLike) and isinstance(value, Path):
        return {"path": str(value)}
    raise _not_plain(name, value)


def decode(document: Any, arrays: Arrays) -> Any:
    """Give the value that `encode` expressed.

    Raises
    ------
    ValueError
        If the document is none that it makes.
    """
    if document is None or isinstance(document, bool | int | float | str):
        return document
    if isinstance(document, list):
        return [decode(one, arrays) for one in document]
    match document:
        case {"tuple": list(values)}:
            return tuple(decode(values, arrays))
        case {"dict": list(pairs)}:
            return _decode_dict(decode(pairs, arrays))
        case {"float": "nan" | "inf" | "-inf" as text}:
            return float(text)
        case {"scalar": item, "dtype": str(dtype)} if dtype in _SCALARS:
            return _decode_scalar(decode(item, arrays), _SCALARS[dtype])
        case {"tensor": str(name)} if name in arrays:
            return arrays[name]
        case {"text": list(texts), "is_object": bool(is_object)}:
            return _decode_text(texts, is_object)
        case {"random_state": dict(state)}:
            return _decode_generator(state, arrays)
        case {"path": str(path)}:
            return Path(path)
    raise ValueError(f"{str(document)[:80]!r} is nothing that fastbp writes")


def encode_fields(record: Any, hints: Mapping[str, Any], name: str, arrays: Arrays) -> dict:
    """Express those attributes of an object that have a type hint; lists of floats as arrays."""
    document = {}
    for field, hint in hints.items():
        value = getattr(record, field)
        if value is not None and _is_curve(hint):
            value = np.array(value, np.float64)
        document[field] = encode(value, f"{name}.{field}", arrays)
    return document


def decode_fields(
    document: Any, hints: Mapping[str, Any], name: str, arrays: Arrays, optional: tuple = ()
) -> dict[str, Any]:
    """Give the attributes that `encode_fields` expressed, each of the type that its hint says.

    Parameters
    ----------
    document : object
        What stands in the file.
    hints : mapping of str to type
        The attributes' types. Whole numbers are counts, 0 or more.
    name : str
        What they are the attributes of, for messages.
    arrays : dict of str to ndarray
        The file's arrays.
    optional : tuple of str, default=()
        Which attributes may be missing.

    Returns
    -------
    values : dict of str to object
        The attributes.

    Raises
    ------
    ValueError
        If one is missing, unknown, or of another type.
    """
    if not isinstance(document, dict):
        raise ValueError(f"{name} is {str(document)[:80]!r}, not a set of named values")
    for field in hints:
        if field not in document and field not in optional:
            raise ValueError(f"{name}.{field} is missing")
    values = {}
    for field, one in document.items():
        if field not in hints:
            raise ValueError(f"{name}.{field} is nothing that fastbp writes")
        value, hint = decode(one, arrays), hints[field]
        if _is_curve(hint) and isinstance(value, np.ndarray):
            value = value.tolist()
        if not _fits(value, hint):
            raise ValueError(f"{name}.{field} is {str(value)[:80]!r}, which is no {hint}")
        values[field] = value
    return values


def _is_curve(hint: Any) -> bool:
    return any(one == list[float] for one in (hint, *get_args(hint)))


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    origin, arguments = get_origin(hint) or hint, get_args(hint)
    if origin is float:
        return isinstance(value, float | np.floating) or _is_whole(value)
    if origin is int:
        return _is_whole(value) and value >= 0
    if origin is np.ndarray or origin is NoneType:
        return isinstance(value, origin)
    if not isinstance(value, origin):
        return False
    return origin not in (list, tuple) or all(_fits(one, arguments[0]) for one in value)


def _is_whole(value: Any) -> bool:
    return type(value) is int and abs(value) < _MAX_INTEGER


def _not_plain(name: str, value: Any) -> ValueError:
    return ValueError(
        f"{name} is {str(value)[:80]}, a {type(value).__name__}. A fastbp file holds numbers, "
        "text, arrays, and lists of them, never code or a user's own classes. Keep it with "
        "joblib.dump, whose files run what is in them when they are loaded: load none of a "
        "stranger."
    )


def _encode_array(array: NDArray, name: str, arrays: Arrays) -> dict:
    if array.dtype.newbyteorder("=") in _DTYPES:
        arrays[name] = array
        return {"tensor": name}
    texts = array.tolist()
    if array.dtype.kind in "UO" and array.ndim == 1 and all(isinstance(t, str) for t in texts):
        return {"text": [str(t) for t in texts], "is_object": array.dtype.kind == "O"}
    raise _not_plain(name, array)


def _decode_text(texts: list, is_object: bool) -> NDArray:
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{str(texts)[:80]!r} is to be text")
    return np.array(texts, object if is_object else str)


def _decode_scalar(item: Any, dtype: np.dtype) -> Any:
    kinds = {"b": bool, "f": float}
    if type(item) is not kinds.get(dtype.kind, int):
        raise ValueError(f"{str(item)[:80]!r} is no {dtype}")
    try:
        return dtype.type(item)
    except OverflowError as error:
        raise ValueError(f"{item} is no {dtype}") from error


def _decode_dict(pairs: list) -> dict:
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"{str(pairs)[:80]!r} are no keys and values")
    try:
        return {key: value for key, value in pairs}
    except TypeError as error:
        raise ValueError(f"{str(pairs)[:80]!r} has keys that can be none") from error


def _encode_generator(generator: np.random.RandomState, name: str, arrays: Arrays) -> dict:
    state = generator.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        raise ValueError(
            f"{name} is a RandomState over {state['bit_generator']}. A fastbp file holds those "
            "over MT19937, which is what RandomState(seed) makes, and whole numbers."
        )
    arrays[name] = state["state"]["key"].astype(np.uint32)
    return {
        "random_state": {
            "tensor": name,
            "position": int(state["state"]["pos"]),
            "has_gauss": int(state["has_gauss"]),
            "gauss": float(state["gauss"]),
        }
    }


def _decode_generator(state: dict, arrays: Arrays) -> np.random.RandomState:
    match state:
        case {
            "tensor": str(name),
            "position": int(position),
            "has_gauss": 0 | 1 as has_gauss,
            "gauss": float(gauss),
        } if name in arrays and 0 <= position <= 624:
            key = arrays[name]
            if key.dtype == np.uint32 and key.shape == (624,):
                generator = np.random.RandomState(0)
                generator.set_state(("MT19937", key, position, has_gauss, gauss))
                return generator
    raise ValueError(f"{str(state)[:80]!r} is no state of a RandomState")
