"""Models in files: whether two are the same, and files as a stranger could have made them."""

import hashlib
import json
import struct

import numpy as np

from fastbp.storage.tensor_file import read_file, write_file

__all__ = ["assert_same_model", "change_document", "forge", "parts_of"]


def assert_same_model(first, second, name="model"):
    """Check that two models hold the same values of the same types, all the way down."""
    assert type(first) is type(second), name
    if isinstance(first, np.ndarray):
        assert (first.dtype, first.shape) == (second.dtype, second.shape), name
        np.testing.assert_array_equal(first, second, err_msg=name)
    elif isinstance(first, np.random.RandomState):
        np.testing.assert_equal(first.get_state(), second.get_state(), err_msg=name)
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), name
        for i, pair in enumerate(zip(first, second, strict=True)):
            assert_same_model(*pair, f"{name}[{i}]")
    elif hasattr(first, "__dict__") and not isinstance(first, type):
        ignored = {"_one_sample", "_predictor", "_numbers", "starts"}  # made when they are wanted
        fields, others = vars(first).keys() - ignored, vars(second).keys() - ignored
        assert fields == others, name
        for field in fields:
            assert_same_model(vars(first)[field], vars(second)[field], f"{name}.{field}")
    else:
        np.testing.assert_equal(first, second, err_msg=name)


def change_document(path, change):
    """Change the document of a file, with a checksum that is right again."""
    document, arrays = read_file(path, "model")
    change(document, arrays)
    write_file(path, "model", document, arrays)


def parts_of(path):
    """Give the header of a file, and the bytes of its arrays."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def forge(path, header, data=b""):
    """Write a file of a header, given as an object or as text, with a checksum that is right."""
    if isinstance(header, dict):
        if "sha256" in header.get("__metadata__", {}):
            header["__metadata__"]["sha256"] = "0" * 64
        header = json.dumps(header, separators=(",", ":"))
    text = header.encode()
    content = struct.pack("<Q", len(text)) + text + data
    digest = hashlib.sha256(content).hexdigest().encode()
    path.write_bytes(content.replace(b'"sha256":"' + b"0" * 64, b'"sha256":"' + digest, 1))
