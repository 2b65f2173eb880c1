"""A fitted network as nodes of an ONNX graph, of its own or of a pipeline's.

Runtimes implement few operators for float64 (onnxruntime lacks Softsign, Softplus, Elu and Erf), so
that activations are composed of what every runtime has, as they were traced.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.export.fitted import FittedNetwork
from fastbp.export.trace import CONSTANT, INPUT, ONE, trace
from fastbp.machine.elementary import logistic
from fastbp.model.activations import HIDDEN_ACTIVATIONS

__all__ = ["Graph", "outputs_of", "write_network"]

#: ONNX has an operator of its own for these.
_KNOWN: dict[str, Callable] = {
    "Sigmoid": logistic,
    "Relu": HIDDEN_ACTIVATIONS["relu"].value,
}
_OPERATORS = {
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "negative": "Neg",
    "absolute": "Abs",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "equal": "Equal",
    "where": "Where",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "sin": "Sin",
    "cos": "Cos",
    "sqrt": "Sqrt",
} | {name: name for name in _KNOWN}


class Graph:
    """Nodes and constants of a graph in the making; what is computed gets a name."""

    def __init__(self, dtype: np.dtype, prefix: str = "") -> None:
        self.dtype, self._prefix = dtype, prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, array: Any) -> str:
        """Add an array, or a number of the network's dtype."""
        from onnx import numpy_helper

        array = np.array(array, None if isinstance(array, np.ndarray) else self.dtype, order="C")
        self.constants.append(
            numpy_helper.from_array(array, f"{self._prefix}c{len(self.constants)}")
        )
        return self.constants[-1].name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node, and give its output's name."""
        from onnx import helper

        output = output or f"{self._prefix}n{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, inputs, [output], name=f"node_{output}", **attributes)
        )
        return output

    def cast(self, x: str) -> str:
        """Add a cast to the network's dtype."""
        from onnx import helper

        return self.node("Cast", x, to=helper.np_dtype_to_tensor_dtype(self.dtype))

    def activate(self, value: Callable, z: str) -> str:
        """Add what an activation's value is made of."""
        names: list[str] = []
        for operation in trace(value, self.dtype, _KNOWN):
            arguments = [names[argument] for argument in operation.arguments]
            if operation.name == INPUT:
                names.append(z)
            elif operation.name in (CONSTANT, ONE):
                number = operation.constant if operation.name == CONSTANT else 1.0
                names.append(self.constant(number))
            elif operation.name in _COMPOSED:
                names.append(_COMPOSED[operation.name](self, *arguments))
            else:
                names.append(self.node(_OPERATORS[operation.name], *arguments))
        return names[-1]

    def _expm1(self, x: str) -> str:
        return self.node("Sub", self.node("Exp", x), self.constant(1.0))

    def _log1p(self, x: str) -> str:
        return self.node("Log", self.node("Add", x, self.constant(1.0)))

    def _normal_cdf(self, x: str) -> str:
        if self.dtype == np.float32:
            erf = self.node("Erf", self.node("Mul", x, self.constant(0.5**0.5)))
            half = self.constant(0.5)
            return self.node("Add", self.node("Mul", erf, half), half)
        from fastbp.machine import normal_cpu  # loads the compiler, whose vectors it is for

        return self.activate(normal_cpu.normal_cdf_of(normal_cpu.DOUBLE), x)


_COMPOSED: dict[str, Callable[..., str]] = {
    "expm1": Graph._expm1,
    "log1p": Graph._log1p,
    "ndtr": Graph._normal_cdf,
}


def outputs_of(network: FittedNetwork) -> dict[str, tuple[np.dtype, list[int]]]:
    """Name the outputs: the dtype of each, and its shape but for the rows."""
    values = network.dtype, [network.n_outputs]
    if network.classes is None:
        return {"variable": values}
    if network.is_multilabel:
        return {"label": (np.dtype(np.int64), [network.n_outputs]), "probabilities": values}
    return {"label": (_onnx_classes(network).dtype, []), "probabilities": values}


def _onnx_classes(network: FittedNetwork) -> NDArray:
    """Give classes in a dtype that ONNX has: text is one of objects."""
    kinds = {"b": np.bool_, "i": np.int64, "u": np.int64, "f": np.float64}
    labels = np.array(network.labels())
    return labels.astype(kinds.get(labels.dtype.kind, np.object_))


def write_network(network: FittedNetwork, graph: Graph, x: str, outputs: list[str]) -> None:
    """Add a network to a graph, from the input's name to the outputs'."""
    for layer in network.layers:
        z = graph.node("Gemm", x, graph.constant(layer.weights), graph.constant(layer.biases))
        if layer.is_softmax:
            x = graph.node("Softmax", z, axis=1)
        else:
            x = graph.activate(layer.activation.value, z)
    if network.scale is not None:
        x = graph.node("Mul", x, graph.constant(network.scale))
        x = graph.node("Add", x, graph.constant(network.mean))
    graph.node("Identity", x, output=outputs[-1])
    if network.classes is None:
        return
    from onnx import TensorProto

    if network.is_multilabel:
        above = graph.node("Greater", x, graph.constant(0.5))
        graph.node("Cast", above, output=outputs[0], to=TensorProto.INT64)
    else:
        best = graph.node("ArgMax", x, axis=1, keepdims=0)
        classes = graph.constant(_onnx_classes(network))
        graph.node("Gather", classes, best, output=outputs[0], axis=0)
