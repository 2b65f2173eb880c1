"""What a training carries from one call to the next, as a file holds it."""

from typing import Any, get_type_hints

import numpy as np

from fastbp.model.network import Network
from fastbp.model.update_rules import UPDATE_RULES, Moments, Rule
from fastbp.solvers.history import History
from fastbp.solvers.stochastic import OptimiserState
from fastbp.storage.values import Arrays, decode_fields, encode_fields

__all__ = ["decode_network", "decode_state", "encode_network", "encode_state"]

_RULE = {"name": str, "learning_rate": float, "beta_1": float, "beta_2": float, "epsilon": float}
_NETWORK = {
    "layer_sizes": tuple[int, ...],
    "activation": str | tuple[str, ...],
    "loss": str,
    "output_activation": str | None,
    "loss_parameters": tuple[float, ...],
}


_PARTS = {"rule", "moments", "history", "initial_rate"}


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
    parts = _parts(document, name)
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


def _parts(document: Any, name: str) -> dict:
    if not isinstance(document, dict) or set(document) != _PARTS:
        raise ValueError(f"{name} has not the parts {sorted(_PARTS)}, and these alone")
    return document


def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)
