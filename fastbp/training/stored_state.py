"""What a training carries from one call to the next, as a file holds it."""

from dataclasses import fields
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from fastbp.model.network import Network
from fastbp.model.update_rules import UPDATE_RULES, Moments, Rule
from fastbp.solvers.history import History
from fastbp.solvers.states import DescentState, Point, StochasticState, TrainingState
from fastbp.solvers.stochastic import OptimiserState
from fastbp.storage.values import Arrays, decode_fields, encode_fields
from fastbp.training.task import FitTask

__all__ = [
    "decode_network",
    "decode_state",
    "decode_training",
    "encode_network",
    "encode_state",
    "encode_training",
]

_RULE = {"name": str, "learning_rate": float, "beta_1": float, "beta_2": float, "epsilon": float}
_NETWORK = {
    "layer_sizes": tuple[int, ...],
    "activation": str | tuple[str, ...],
    "loss": str,
    "output_activation": str | None,
    "loss_parameters": tuple[float, ...],
}
_STOCHASTIC = {
    "parameters": np.ndarray,
    "best": np.ndarray | None,
    "rows": np.ndarray,
    "random_state": np.random.RandomState,
}
_DESCENT = {"n_stalled": int, "is_settled": bool}

_PARTS = {"rule", "moments", "history", "initial_rate"}
_STOCHASTIC_PARTS = {"state", "optimiser"}
_DESCENT_PARTS = {"state", "history", "point", "best", "solver"}


def encode_network(network: Network, arrays: Arrays) -> dict:
    """Express a network in JSON.

    Raises
    ------
    ValueError
        If an activation or the loss is a user's own.
    """
    return encode_fields(network, _NETWORK, "network", arrays)


def decode_network(document: Any, arrays: Arrays) -> Network:
    """Give the network that `encode_network` expressed; ValueError if it is none."""
    return Network(**decode_fields(document, _NETWORK, "network", arrays))


def encode_state(state: OptimiserState, name: str, arrays: Arrays) -> dict:
    """Express an optimiser's state in JSON, its arrays under names that begin with ``name``."""
    rule = state.rule._asdict()
    del rule["code"]  # which depends on the version
    return {
        "rule": {"name": state.rule.record.name, **rule},
        "moments": encode_fields(state.moments, _hints(Moments), f"{name}.moments", arrays),
        "history": encode_fields(state.history, _hints(History), f"{name}.history", arrays),
        "initial_rate": float(state.initial_rate),
    }


def decode_state(document: Any, name: str, network: Network, arrays: Arrays) -> OptimiserState:
    """Give the state that `encode_state` expressed.

    Raises
    ------
    ValueError
        If it is none, or not one of this network's.
    """
    parts = _parts(document, name, _PARTS)
    rule = decode_fields(parts["rule"], _RULE, f"{name}.rule", arrays)
    if rule["name"] not in UPDATE_RULES:
        raise ValueError(f"{name}.rule is {rule['name']!r}, none of {list(UPDATE_RULES)}")
    moments = Moments(**decode_fields(parts["moments"], _hints(Moments), f"{name}.moments", arrays))
    for vector in (moments.first, moments.second):
        is_float = vector.dtype in (np.float64, np.float32)
        if vector.shape != (network.n_parameters,) or not is_float:
            raise ValueError(
                f"{name}.moments have shape {vector.shape} and dtype {vector.dtype}, and the "
                f"network has {network.n_parameters} parameters"
            )
    history = decode_fields(parts["history"], _hints(History), f"{name}.history", arrays)
    rate = decode_fields({"rate": parts["initial_rate"]}, {"rate": float}, name, arrays)["rate"]
    return OptimiserState(Rule.of(**rule), moments, History(**history), rate)


def encode_training(state: TrainingState, arrays: Arrays) -> dict:
    """Express a training between two iterations in JSON."""
    if isinstance(state, StochasticState):
        return {
            "state": encode_fields(state, _STOCHASTIC, "training", arrays),
            "optimiser": encode_state(state.optimiser, "optimiser", arrays),
        }
    solver = state.solver
    return {
        "state": encode_fields(state, _DESCENT, "training", arrays),
        "history": encode_fields(state.history, _hints(History), "history", arrays),
        "point": encode_fields(state.point, _hints(Point), "point", arrays),
        "best": encode_fields(state.best, _hints(Point), "best", arrays),
        "solver": encode_fields(solver, _hints(type(solver)), "solver", arrays),
    }


def decode_training(document: Any, task: FitTask, arrays: Arrays) -> TrainingState:
    """Give the training that `encode_training` expressed.

    Raises
    ------
    ValueError
        If it is none, or not one of this task's network, rows and dtype.
    """
    decode = _decode_descent if task.batch_state is not None else _decode_stochastic
    return decode(document, task, arrays)


def _decode_stochastic(document: Any, task: FitTask, arrays: Arrays) -> StochasticState:
    parts = _parts(document, "training", _STOCHASTIC_PARTS)
    values = decode_fields(parts["state"], _STOCHASTIC, "training", arrays)
    for name in ("parameters", "best"):
        if values[name] is not None:
            _check_array(values[name], name, task, task.dtype)
    rows, n_samples = values["rows"], task.data.n_samples
    if rows.dtype != np.int64 or not np.array_equal(np.sort(rows), np.arange(n_samples)):
        raise ValueError(f"its rows are not those from 0 to {n_samples - 1}")
    state = decode_state(parts["optimiser"], "optimiser", task.network, arrays)
    return StochasticState(optimiser=state, **values)


def _decode_descent(document: Any, task: FitTask, arrays: Arrays) -> DescentState:
    parts = _parts(document, "training", _DESCENT_PARTS)
    values = decode_fields(parts["state"], _DESCENT, "training", arrays)
    history = decode_fields(parts["history"], _hints(History), "history", arrays)
    point, best = (_decode_point(parts[name], name, task, arrays) for name in ("point", "best"))
    assert task.batch_state is not None
    hints = _hints(task.batch_state)
    solver = task.batch_state(**decode_fields(parts["solver"], hints, "solver", arrays))
    for field in fields(solver):
        value = getattr(solver, field.name)
        if isinstance(value, np.ndarray):
            _check_array(value, field.name, task, ndim=field.metadata.get("ndim", 1))
    return DescentState(point, best, History(**history), solver=solver, **values)


def _decode_point(document: Any, name: str, task: FitTask, arrays: Arrays) -> Point:
    point = Point(**decode_fields(document, _hints(Point), name, arrays))
    for vector in (point.parameters, point.gradient):
        _check_array(vector, name, task)
    return point


def _check_array(
    array: NDArray, name: str, task: FitTask, dtype: Any = np.float64, ndim: int = 1
) -> None:
    shape = (task.network.n_parameters,) * ndim
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(
            f"{name} has shape {array.shape} and dtype {array.dtype}, and this fit's is {shape} of "
            f"dtype {np.dtype(dtype)}"
        )


def _parts(document: Any, name: str, parts: set[str]) -> dict:
    if not isinstance(document, dict) or set(document) != parts:
        raise ValueError(f"{name} has not the parts {sorted(parts)}, and these alone")
    return document


def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)
