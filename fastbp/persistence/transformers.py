"""Transformers as a file holds them: their parameters, and what their fit has learnt.

To add one, write its fitted attributes here. It has to be made of numbers, text and arrays alone.
"""

from typing import Any

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from fastbp.estimators.table_encoder import TableEncoder
from fastbp.storage.values import Arrays, decode, decode_fields, encode, encode_fields

__all__ = ["TRANSFORMERS", "decode_transformer", "encode_transformer"]

_VECTOR, _SOME_VECTOR = np.ndarray, np.ndarray | None
#: The attributes that a fit of each sets.
_ATTRIBUTES: dict[type, dict[str, Any]] = {
    StandardScaler: {
        "n_samples_seen_": int | np.integer | float | np.ndarray,
        "mean_": _SOME_VECTOR,
        "var_": _SOME_VECTOR,
        "scale_": _SOME_VECTOR,
    },
    MinMaxScaler: {
        "n_samples_seen_": int,
        "min_": _VECTOR,
        "scale_": _VECTOR,
        "data_min_": _VECTOR,
        "data_max_": _VECTOR,
        "data_range_": _VECTOR,
    },
    TableEncoder: {"categories_": list[np.ndarray], "means_": _VECTOR},
}
_OF_ALL: dict[str, Any] = {"n_features_in_": int, "feature_names_in_": np.ndarray}
_PARTS = {"class", "parameters", "attributes"}

#: The transformers by name.
TRANSFORMERS = {kind.__name__: kind for kind in _ATTRIBUTES}


def encode_transformer(step: TransformerMixin, name: str, arrays: Arrays) -> dict:
    """Express a transformer in JSON, its arrays under names that begin with ``name``.

    Raises
    ------
    ValueError
        If it has attributes that a file has no place for.
    """
    parameters = step.get_params(deep=False)
    hints = _ATTRIBUTES[type(step)] | _OF_ALL
    others = sorted(set(vars(step)) - set(parameters) - set(hints) - {"_metadata_request"})
    if others:
        raise ValueError(
            f"The {type(step).__name__} has the attributes {others}, for which a fastbp file has "
            "no place. Delete them first, or keep the model with joblib.dump."
        )
    present = {one: hint for one, hint in hints.items() if hasattr(step, one)}
    return {
        "parameters": {one: encode(value, name, arrays) for one, value in parameters.items()},
        "attributes": encode_fields(step, present, name, arrays),
    }


def decode_transformer(document: dict, name: str, arrays: Arrays) -> TransformerMixin:
    """Give the transformer that `encode_transformer` expressed; ValueError if it is none."""
    if set(document) != _PARTS or not isinstance(document["parameters"], dict):
        raise ValueError(f"{name} has not the parts {sorted(_PARTS)}")
    kind = TRANSFORMERS[document["class"]]
    parameters = {one: decode(value, arrays) for one, value in document["parameters"].items()}
    if set(parameters) - set(kind().get_params()):
        raise ValueError(f"{name}, a {kind.__name__}, has no parameters {sorted(parameters)}")
    step = kind(**parameters)
    step._validate_params()
    hints = _ATTRIBUTES[kind] | _OF_ALL
    optional = tuple(_OF_ALL) if document["attributes"] else tuple(hints)
    attributes = decode_fields(document["attributes"], hints, name, arrays, optional)
    for one, value in attributes.items():
        _check_shape(f"{name}.{one}", value, attributes.get("n_features_in_"))
        _check_texts(f"{name}.{one}", value, attributes.get("n_features_in_"))
        setattr(step, one, value)
    return step


def _check_shape(name: str, value: Any, n_features: int | None) -> None:
    is_names = name.endswith(".feature_names_in_")
    if isinstance(value, np.ndarray) and (
        value.shape != (n_features,) or (value.dtype == object) != is_names
    ):
        raise ValueError(
            f"{name} has shape {value.shape} and dtype {value.dtype}, of {n_features} features"
        )


def _check_texts(name: str, value: Any, n_features: int | None) -> None:
    if isinstance(value, list) and (
        len(value) != n_features or any((v.ndim, v.dtype.kind) != (1, "U") for v in value)
    ):
        raise ValueError(f"{name} is not a list of texts for each of {n_features} features")
