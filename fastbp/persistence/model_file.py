"""`save` and `load`: a model in a file that holds numbers and text, and runs nothing when loaded.

The file is in the safetensors layout, so that other programs read its arrays, with a version and a
checksum (see ``storage/tensor_file.py``). A class is found by its name in the tables here, never by
an import. Files of an older format version stay readable; the tests keep some of each.
"""

import os
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from fastbp.estimators.classifier import BackpropClassifier
from fastbp.estimators.regressor import BackpropRegressor
from fastbp.persistence.estimators import decode_estimator, encode_estimator
from fastbp.persistence.transformers import (
    TRANSFORMERS,
    decode_transformer,
    encode_transformer,
)
from fastbp.storage.tensor_file import read_file, write_file
from fastbp.storage.values import Arrays

__all__ = ["load", "save"]

_ESTIMATORS = {kind.__name__: kind for kind in (BackpropRegressor, BackpropClassifier)}
_KINDS = {"Pipeline": Pipeline, **TRANSFORMERS, **_ESTIMATORS}
_PASSED = ("passthrough", None)


def save(model: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write a model to a file that `load` reads, without pickle.

    It holds all that predictions and further training need: parameters, weights, classes, names of
    features, scales, curves, and the state of the optimiser and of a RandomState, so that
    `partial_fit`, `learn_one` and ``warm_start`` go on with the same bits. Callbacks, requests for
    metadata and ``checkpoint`` are left out. An older file is replaced in one step, or stays as it
    was.

    Parameters
    ----------
    model : BackpropRegressor, BackpropClassifier or Pipeline
        The model, fitted or not. A `Pipeline` may have `StandardScaler`, `MinMaxScaler` and our
        `TableEncoder` before one of the two.
    path : str or path-like
        Where; ``.fastbp`` and ``.safetensors`` are usual endings.

    Raises
    ------
    ValueError
        If the model is of another class, or holds what is no number, text or array: activations and
        losses of your own are functions. ``skops.io.dump`` and ``joblib.dump`` keep more.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastbp import BackpropRegressor, load, save
    >>> net = BackpropRegressor(solver="lm", hidden_layer_sizes=(2,), random_state=0)
    >>> net = net.fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 4.0])
    >>> path = os.path.join(tempfile.mkdtemp(), "net.fastbp")
    >>> save(net, path)
    >>> bool((load(path).predict([[1.5]]) == net.predict([[1.5]])).all())
    True
    """
    arrays: Arrays = {}
    document = _encode(model, arrays)
    write_file(path, "model", document, arrays)


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model that `save` has written; nothing in the file is executed.

    Parameters
    ----------
    path : str or path-like
        Where.

    Returns
    -------
    model : BackpropRegressor, BackpropClassifier or Pipeline
        The model, with the bits that were saved.

    Raises
    ------
    ValueError
        If it is no such file, is damaged, cut off or changed, or of a format version that this
        fastbp does not know.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastbp import load
    >>> path = os.path.join(tempfile.mkdtemp(), "net.fastbp")
    >>> with open(path, "wb") as file:
    ...     _ = file.write(b"not a model")
    >>> load(path)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: ...net.fastbp' is not loaded: ...
    """
    try:
        document, arrays = read_file(path, "model")
        return _decode(document, arrays)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)!r} is not loaded: {error}.") from error


def _encode(model: BaseEstimator, arrays: Arrays) -> dict:
    name = type(model).__name__
    if _KINDS.get(name) is not type(model):
        raise ValueError(
            f"A fastbp file holds {_listed(_KINDS)}, and this is a {name}. skops.io.dump keeps "
            "other estimators of scikit-learn; so does joblib.dump, whose files run what is in "
            "them when they are loaded: load none of a stranger."
        )
    if isinstance(model, Pipeline):
        return {"class": name, **_encode_pipeline(model, arrays)}
    if name in TRANSFORMERS:
        raise ValueError(
            f"A fastbp file holds a {name} within a Pipeline that ends in an estimator"
        )
    return {"class": name, **encode_estimator(model, arrays)}


def _encode_pipeline(pipeline: Pipeline, arrays: Arrays) -> dict:
    if pipeline.memory is not None or pipeline.transform_input is not None:
        raise ValueError(
            "A fastbp file holds no memory and no transform_input of a Pipeline. Set them to None, "
            "or keep it with joblib.dump."
        )
    *before, (last, model) = pipeline.steps
    if type(model).__name__ not in _ESTIMATORS:
        raise ValueError(
            f"A fastbp file holds a Pipeline that ends in {_listed(_ESTIMATORS)}, and step "
            f"{last!r} is a {type(model).__name__}. skops.io.dump or joblib.dump keeps it."
        )
    steps: list = []
    for name, step in before:
        kind = type(step).__name__
        if step in _PASSED:
            steps.append([name, step])
        elif TRANSFORMERS.get(kind) is type(step):
            document = encode_transformer(step, f"step.{name}", arrays)
            steps.append([name, {"class": kind, **document}])
        else:
            raise ValueError(
                f"A fastbp file holds the transformers {_listed(TRANSFORMERS)}, and step {name!r} "
                f"is a {kind}. skops.io.dump or joblib.dump keeps it."
            )
    return {"steps": [*steps, [last, _encode(model, arrays)]], "verbose": bool(pipeline.verbose)}


def _decode(document: Any, arrays: Arrays) -> BaseEstimator:
    match document:
        case {"class": "Pipeline", "steps": list(steps), "verbose": bool(verbose)} if steps:
            return Pipeline([_decode_step(step, arrays) for step in steps], verbose=verbose)
        case {"class": str(name)} if name in _ESTIMATORS:
            return decode_estimator(_ESTIMATORS[name], document, arrays)
        case {"class": name}:
            raise ValueError(f"class {str(name)[:80]!r} is none of {_listed(_KINDS)}")
    raise ValueError("it names no class")


def _decode_step(step: Any, arrays: Arrays) -> tuple[str, Any]:
    match step:
        case [str(name), "passthrough" | None as passed]:
            return name, passed
        case [str(name), {"class": str(kind)} as document] if kind in TRANSFORMERS:
            return name, decode_transformer(document, f"step.{name}", arrays)
        case [str(name), {"class": str(kind)} as document] if kind in _ESTIMATORS:
            return name, _decode(document, arrays)
    raise ValueError(f"{str(step)[:80]!r} is no step of a Pipeline that fastbp writes")


def _listed(names: Any) -> str:
    return ", ".join(names)
