"""``python -m fastbp export``: a saved model as ONNX, C or NumPy source, of the file's columns."""

import copy
import sys
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from fastbp.cli.csv_file import STANDARD, listed
from fastbp.cli.model_files import check_can_write, load_model, write_file
from fastbp.cli.terminal import InputError, errors_in_a_line, say
from fastbp.estimators.table_encoder import TableEncoder
from fastbp.export.c_source import to_c
from fastbp.export.numpy_source import to_numpy
from fastbp.export.onnx import to_onnx

__all__ = ["export_model"]

#: The suffix of each format's files, and what writes one.
_FORMATS: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    "onnx": (".onnx", lambda net: to_onnx(net).SerializeToString()),
    "c": (".c", lambda net: to_c(net).encode()),
    "numpy": (".py", lambda net: to_numpy(net).encode()),
}


def export_model(options: Namespace) -> None:
    """Write a saved model as a file that needs no fastbp, scaling of the inputs included.

    Parameters
    ----------
    options : Namespace
        The command line's ``model``, ``to`` and ``output``.

    Raises
    ------
    InputError
        If a file cannot be read or written, or the model does more than scale its inputs.
    """
    suffix, write = _FORMATS[options.to]
    path = options.output or options.model.with_suffix(suffix)
    check_can_write(path, options.model)
    model = load_model(options.model)
    try:
        with errors_in_a_line():
            content = write(_of_raw_inputs(model))
    except ImportError as error:
        raise InputError(str(error)) from error
    if path == STANDARD:
        sys.stdout.buffer.write(content)
    else:
        write_file(path, lambda beside: beside.write_bytes(content))
        print(f"Wrote {path}")
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        say(f"its inputs, in this order: {listed(list(names), 50)}")


def _of_raw_inputs(model: Any) -> Any:
    """Give a network that scales by its first layer: W'(a x + b) + c = (W' a) x + (W' b + c)."""
    if not isinstance(model, Pipeline):
        return model
    *steps, net = model.named_steps.values()
    if not hasattr(net, "coefs_"):
        return net  # the writer says what it cannot write
    net = copy.deepcopy(net)
    weights, biases = net.coefs_[0].astype(np.float64), net.intercepts_[0].astype(np.float64)
    for step in reversed(steps):
        scale, shift = _affine(step, len(weights))
        weights, biases = scale[:, None] * weights, biases + shift @ weights
    net.coefs_[0] = weights.astype(net.coefs_[0].dtype)
    net.intercepts_[0] = biases.astype(net.intercepts_[0].dtype)
    return net


def _affine(step: Any, n_features: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Give a and b of a step that makes a x + b of its inputs x."""
    ones, zeros = np.ones(n_features), np.zeros(n_features)
    if step in ("passthrough", None):
        return ones, zeros
    if isinstance(step, StandardScaler):
        scale = ones if step.scale_ is None else 1 / step.scale_
        return scale, zeros if not step.with_mean else -step.mean_ * scale
    if isinstance(step, MinMaxScaler) and not step.clip:
        return step.scale_, step.min_
    if isinstance(step, TableEncoder) and not any(map(len, step.categories_)):
        say("missing values, which the model replaces by the mean, are not replaced in the export")
        return ones, zeros
    raise InputError(
        f"export writes scaling of numbers, and the model's {type(step).__name__} does more, such "
        "as columns of text; fit without those (--drop) to export"
    )
