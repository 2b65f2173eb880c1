"""`BackpropRegressor` and `BackpropClassifier` as a file holds them.

Parameters, the network with its weights, what a fit has set, and what a training goes on from. It
is written attribute by attribute, and not as memory happens to hold it: so files of older versions
stay readable.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fastbp.diagnostics.uncertainty import Posterior
from fastbp.estimators.base import BackpropEstimator
from fastbp.estimators.classifier import BackpropClassifier
from fastbp.estimators.labels import Labels
from fastbp.estimators.regressor import BackpropRegressor
from fastbp.estimators.target_scaling import TargetScaling
from fastbp.model.network import Network
from fastbp.storage.values import Arrays, decode, decode_fields, encode, encode_fields
from fastbp.training.stored_state import (
    decode_network,
    decode_state,
    encode_network,
    encode_state,
)

__all__ = ["decode_estimator", "encode_estimator"]

#: What a fit sets, beside what has a place of its own in the file.
_ATTRIBUTES: dict[str, Any] = {
    "n_features_in_": int,
    "stop_reason_": str,
    "n_iter_": int,
    "n_fun_": int,
    "t_": int,
    "loss_": float,
    "gradient_norm_": float,
    "loss_curve_": list[float],
    "time_curve_": list[float],
    "n_fun_curve_": list[int],
    "gradient_norm_curve_": list[float],
    "init_losses_": np.ndarray,
    "best_loss_": float | None,
    "validation_scores_": list[float] | None,
    "best_validation_score_": float | None,
}
_OPTIONAL: dict[str, Any] = {
    "feature_names_in_": np.ndarray,
    "alpha_": float,
    "effective_parameters_": float,
    "path_": np.ndarray,
}
_WEIGHTS = {"coefs": list[np.ndarray], "intercepts": list[np.ndarray]}
_SCALING = {"mean": float | np.ndarray, "scale": float | np.ndarray}
_LABELS = {"classes": np.ndarray, "is_soft": bool, "is_multilabel": bool, "is_sparse": bool}
_POSTERIOR = {"root": np.ndarray, "noise": float}
_OTHERS = {"parameters": list[np.ndarray]}
_PARTS = {
    *("network", "weights", "attributes", "labels", "target_scaling", "state"),
    *("posterior", "others"),
}
#: What stands elsewhere in the file, or follows from the rest.
_ELSEWHERE = {
    *("_network", "_state", "_one_sample", "_predictor", "_learns_by", "_labels"),
    "_target_scaling",
    *("coefs_", "intercepts_", "n_layers_", "n_outputs_", "out_activation_"),
    *("_encodes_targets", "target_mean_", "target_scale_", "_posterior", "_other_parameters"),
}
#: Where to write: no file of a stranger is to say which of the user's files a fit overwrites.
_NOT_KEPT = ("checkpoint",)
#: What is said of a model to scikit-learn, and is not the model's.
_LEFT_OUT = {"_metadata_request", "_skl_callbacks", "_skl_callbacks_to_teardown"}


def encode_estimator(estimator: BackpropEstimator, arrays: Arrays) -> dict:
    """Express an estimator in JSON.

    Parameters
    ----------
    estimator : BackpropRegressor or BackpropClassifier
        The estimator, fitted or not.
    arrays : dict of str to ndarray
        Where arrays are put.

    Returns
    -------
    document : dict
        What JSON can express.

    Raises
    ------
    ValueError
        If it holds what a file cannot, such as an activation of the user's own.
    """
    estimator._validate_params()
    parameters = estimator.get_params(deep=False)
    encoded = {
        name: encode(value, name, arrays)
        for name, value in parameters.items()
        if name not in _NOT_KEPT
    }
    if not hasattr(estimator, "coefs_"):
        return {"parameters": encoded, "fitted": None}
    _refuse_other_attributes(estimator, set(parameters))
    return {"parameters": encoded, "fitted": _encode_fitted(estimator, arrays)}


def decode_estimator(
    kind: type[BackpropEstimator], document: dict, arrays: Arrays
) -> BackpropEstimator:
    """Give the estimator of a class that `encode_estimator` expressed; ValueError if it is none."""
    parameters, fitted = document.get("parameters"), document.get("fitted")
    if not isinstance(parameters, dict):
        raise ValueError("its parameters are missing")
    unknown = set(parameters) - set(kind._get_param_names()).difference(_NOT_KEPT)
    if unknown:
        raise ValueError(f"{kind.__name__} has no parameters {sorted(unknown)}")
    estimator = kind(**{name: decode(value, arrays) for name, value in parameters.items()})
    estimator._validate_params()
    if fitted is not None:
        if not isinstance(fitted, dict) or set(fitted) != _PARTS:
            raise ValueError(f"what a fit has set has not the parts {sorted(_PARTS)}")
        _decode_fitted(estimator, fitted, arrays)
    return estimator


def _refuse_other_attributes(estimator: BackpropEstimator, parameters: set[str]) -> None:
    known = parameters.union(_ATTRIBUTES, _OPTIONAL, _ELSEWHERE, _LEFT_OUT)
    others = sorted(set(vars(estimator)) - known)
    if others:
        raise ValueError(
            f"The {type(estimator).__name__} has the attributes {others}, for which a fastbp file "
            "has no place. Delete them first, or keep it with joblib.dump."
        )


def _encode_fitted(estimator: Any, arrays: Arrays) -> dict:
    estimator._store_learnt_moments()
    network, state = estimator._network, estimator._state
    labels, scaling = (vars(estimator).get(name) for name in ("_labels", "_target_scaling"))
    coefs, intercepts = network.unpack(estimator._parameters())
    posterior, others = estimator._posterior, list(estimator._other_parameters)
    hints = _ATTRIBUTES | {name: _OPTIONAL[name] for name in _OPTIONAL if hasattr(estimator, name)}
    return {
        "network": encode_network(network, arrays),
        "weights": {
            "coefs": encode(coefs, "coefs", arrays),
            "intercepts": encode(intercepts, "intercepts", arrays),
        },
        "attributes": encode_fields(estimator, hints, "attributes", arrays),
        "labels": labels and _encode_labels(labels, arrays),
        "target_scaling": scaling and encode_fields(scaling, _SCALING, "target_scaling", arrays),
        "state": state and encode_state(state, "state", arrays),
        "posterior": posterior and encode_fields(posterior, _POSTERIOR, "posterior", arrays),
        "others": {"parameters": encode(others, "others", arrays)},
    }


def _decode_fitted(estimator: Any, fitted: dict, arrays: Arrays) -> None:
    network = decode_network(fitted["network"], arrays)
    hints = _ATTRIBUTES | _OPTIONAL
    attributes = decode_fields(fitted["attributes"], hints, "attributes", arrays, tuple(_OPTIONAL))
    _check_features(attributes, network)
    parameters = _decode_weights(fitted["weights"], network, arrays)
    if isinstance(estimator, BackpropClassifier):
        estimator._labels = _decode_labels(fitted["labels"], network, arrays)
    elif network.loss_record.is_for_classes or fitted["labels"] is not None:
        raise ValueError(f"{type(estimator).__name__} predicts numbers, and the network classes")
    scales = fitted["target_scaling"] is not None
    if isinstance(estimator, BackpropRegressor):
        estimator._encodes_targets = scales
    if scales:
        _decode_scaling(estimator, fitted["target_scaling"], network, arrays)
    state = fitted["state"]
    estimator._state = state and decode_state(state, "state", network, arrays)
    for name, value in attributes.items():
        setattr(estimator, name, value)
    estimator._learns_by = None
    estimator._take_network(network)
    estimator._posterior = _decode_posterior(fitted["posterior"], network, arrays)
    estimator._other_parameters = _decode_others(fitted["others"], parameters, arrays)
    estimator._adopt(parameters)


def _check_features(attributes: dict, network: Network) -> None:
    n_features, names = attributes["n_features_in_"], attributes.get("feature_names_in_")
    if n_features != network.layer_sizes[0]:
        raise ValueError(f"it has {n_features} features, and its network {network.layer_sizes[0]}")
    if names is not None and (names.dtype != object or len(names) != n_features):
        raise ValueError(f"it has {n_features} features, and other feature names: {names}")
    if attributes["init_losses_"].dtype != np.float64:
        raise ValueError(f"init_losses_ have dtype {attributes['init_losses_'].dtype}")


def _decode_weights(document: Any, network: Network, arrays: Arrays) -> NDArray[np.floating]:
    weights = decode_fields(document, _WEIGHTS, "weights", arrays)
    coefs, intercepts = weights["coefs"], weights["intercepts"]
    dtypes = {array.dtype for array in coefs + intercepts}
    if dtypes not in ({np.dtype(np.float64)}, {np.dtype(np.float32)}):
        raise ValueError(f"its weights have the dtypes {sorted(map(str, dtypes))}")
    if [array.shape for array in coefs] != network.shapes:  # before so many are allocated
        raise ValueError(
            f"its weights have shapes {[array.shape for array in coefs]}, and its network "
            f"{network.shapes}"
        )
    return network.pack(coefs, intercepts, dtypes.pop())


def _decode_posterior(document: Any, network: Network, arrays: Arrays) -> Posterior | None:
    if document is None:
        return None
    posterior = Posterior(**decode_fields(document, _POSTERIOR, "posterior", arrays))
    if posterior.root.shape != (network.n_parameters,) * 2 or posterior.root.dtype != np.float64:
        raise ValueError(
            f"its posterior has shape {posterior.root.shape}, and its network "
            f"{network.n_parameters} parameters"
        )
    if not (np.isfinite(posterior.root).all() and 0 <= posterior.noise < np.inf):
        raise ValueError("its posterior is not finite")
    return posterior


def _decode_others(document: Any, own: NDArray[np.floating], arrays: Arrays) -> tuple:
    others = decode_fields(document, _OTHERS, "others", arrays)["parameters"]
    for other in others:
        if (other.shape, other.dtype) != (own.shape, own.dtype) or not np.isfinite(other).all():
            raise ValueError("the networks of its committee are not alike, or not finite")
    return tuple(others)


def _encode_labels(labels: Labels, arrays: Arrays) -> dict:
    binarizer = labels.binarizer
    return {
        "classes": encode(labels.classes, "classes", arrays),
        "is_soft": binarizer is None,
        "is_multilabel": labels.is_multilabel,
        "is_sparse": binarizer is not None and bool(binarizer.sparse_input_),
    }


def _decode_labels(document: Any, network: Network, arrays: Arrays) -> Labels:
    given = decode_fields(document, _LABELS, "labels", arrays)
    classes, n_classes = given["classes"], given["classes"].size
    is_finite = classes.dtype.kind != "f" or np.isfinite(classes).all()
    if classes.ndim != 1 or n_classes == 0 or not is_finite:
        raise ValueError(f"its classes are {classes}")
    if given["is_soft"]:
        labels = Labels(np.empty((1, n_classes)), is_soft=True)
    elif given["is_multilabel"]:
        labels = Labels(sparse.identity(n_classes, format="csr"))  # a dense one may be huge
    else:
        labels = Labels(classes)
    if labels.binarizer is not None:
        labels.binarizer.sparse_input_ = given["is_sparse"]
    is_one = not (given["is_soft"] or given["is_multilabel"]) and n_classes <= 2
    n_outputs = 1 if is_one else n_classes
    if (
        not np.array_equal(labels.classes, classes)
        or labels.is_multilabel != given["is_multilabel"]
    ):
        raise ValueError(f"its classes {classes} are not sorted, or not for such labels")
    if network.loss != labels.loss or network.layer_sizes[-1] != n_outputs:
        raise ValueError(
            f"its {n_classes} classes need {n_outputs} outputs and loss {labels.loss!r}, and its "
            f"network has {network.layer_sizes[-1]} and {network.loss!r}"
        )
    return labels


def _decode_scaling(estimator: Any, document: Any, network: Network, arrays: Arrays) -> None:
    scaling = TargetScaling(**decode_fields(document, _SCALING, "target_scaling", arrays))
    for numbers in map(np.asarray, (scaling.mean, scaling.scale)):
        has_shape = numbers.shape in ((), network.layer_sizes[-1:])
        if not (has_shape and numbers.dtype.kind in "if" and np.isfinite(numbers).all()):
            raise ValueError(f"its target_scaling is {numbers}")
    estimator._target_scaling = scaling
    estimator.target_mean_, estimator.target_scale_ = scaling.mean, scaling.scale
