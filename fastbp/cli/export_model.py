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


def _onnx(model: Any) -> bytes:
    steps = model.steps[:-1] if isinstance(model, Pipeline) else []
    if all(_is_scaling(step) for _, step in steps):
        model = _of_raw_inputs(model)  # which needs no skl2onnx
    return to_onnx(model).SerializeToString()


#: The suffix of each format's files, and what writes one.
_FORMATS: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    "onnx": (".onnx", _onnx),
    "c": (".c", lambda model: to_c(_of_raw_inputs(model)).encode()),
    "numpy": (".py", lambda model: to_numpy(_of_raw_inputs(model)).encode()),
}


def export_model(options: Namespace) -> None:
    """Write a saved model as a file that needs no fastbp, scaling of the inputs included.

    ONNX has columns of text and missing values, too.

    Parameters
    ----------
    options : Namespace
        The command line's ``model``, ``to`` and ``output``.

    Raises
    ------
    InputError
        If a file cannot be read or written, or the model does what the format has not.
    """
    suffix, write = _FORMATS[options.to]
    path = options.output or options.model.with_suffix(suffix)
    check_can_write(path, options.model)
    model = load_model(options.model)
    try:
        with errors_in_a_line():
            content = write(model)
    except (ImportError, RuntimeError) as error:  # of skl2onnx, that it knows no such step
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


def _is_scaling(step: Any) -> bool:
    if type(step) is MinMaxScaler:
        return not step.clip
    return step in ("passthrough", None) or type(step) is StandardScaler


def _affine(step: Any, n_features: int) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Give a and b of a step that makes a x + b of its inputs x."""
    ones, zeros = np.ones(n_features), np.zeros(n_features)
    if step in ("passthrough", None):
        return ones, zeros
    if type(step) is StandardScaler:
        scale = ones if step.scale_ is None else 1 / step.scale_
        return scale, zeros if not step.with_mean else -step.mean_ * scale
    if type(step) is MinMaxScaler and not step.clip:
        return step.scale_, step.min_
    if isinstance(step, TableEncoder) and not any(map(len, step.categories_)):
        _tell_means(step)
        return ones, zeros
    raise InputError(
        f"C and NumPy source have scaling of numbers, and the model's {type(step).__name__} does "
        "more, such as columns of text; --to onnx writes it, or fit without those (--drop)"
    )


def _tell_means(encoder: TableEncoder) -> None:
    """Say what to give for a missing value, which nothing replaces in the source."""
    names = getattr(encoder, "feature_names_in_", range(encoder.n_features_in_))
    means = [f"{name!r} {mean:.6g}" for name, mean in zip(names, encoder.means_, strict=True)]
    say(f"missing values are not replaced in it; give the column's mean: {listed(means, 50)}")
