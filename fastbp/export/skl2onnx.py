"""What skl2onnx asks a fitted network in a pipeline, and whole pipelines converted by it."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastbp.export.fitted import FittedNetwork
from fastbp.export.onnx_graph import Graph, outputs_of, write_network

__all__ = ["ConvertibleToOnnx", "through_skl2onnx"]


class ConvertibleToOnnx:
    """An estimator that skl2onnx converts, alone or in a pipeline, without being told how.

    skl2onnx asks an estimator's methods before it looks at what has been registered.
    """

    def onnx_parser(self) -> Callable:
        """Give skl2onnx a function that names the outputs, with their types."""

        def parse(scope: Any = None, inputs: Any = None) -> list:
            outputs = outputs_of(FittedNetwork.of(self, "skl2onnx"))
            return [(name, _skl2onnx_type(*output)) for name, output in outputs.items()]

        return parse

    def onnx_shape_calculator(self) -> Callable:
        """Give skl2onnx a function that sets the outputs' types and shapes."""

        def calculate(operator: Any) -> None:
            outputs = outputs_of(FittedNetwork.of(self, "skl2onnx"))
            for variable, output in zip(operator.outputs, outputs.values(), strict=True):
                variable.type = _skl2onnx_type(*output)

        return calculate

    def onnx_converter(self) -> Callable:
        """Give skl2onnx a function that adds the network to a graph."""

        def convert(scope: Any, operator: Any, container: Any) -> None:
            from onnx import helper

            network = FittedNetwork.of(self, "skl2onnx")
            graph = Graph(network.dtype, scope.get_unique_operator_name("fastbp") + "_")
            kind = helper.np_dtype_to_tensor_dtype(network.dtype)
            inputs = [graph.node("Cast", one.full_name, to=kind) for one in operator.inputs]
            x = inputs[0] if len(inputs) == 1 else graph.node("Concat", *inputs, axis=1)
            write_network(network, graph, x, [output.full_name for output in operator.outputs])
            container.nodes.extend(graph.nodes)
            container.initializers.extend(graph.constants)
            container.node_domain_version_pair_sets.add(("", container.main_opset))

        return convert


def through_skl2onnx(model: Any, opset: int) -> Any:
    """Convert what has a network inside with skl2onnx, for one table X of the weights' dtype."""
    try:
        import skl2onnx
    except ImportError as error:
        raise ImportError(
            f"To convert a {type(model).__name__}, to_onnx needs skl2onnx: pip install skl2onnx"
        ) from error
    kind = _skl2onnx_type(_dtype_inside(model), [model.n_features_in_])
    return skl2onnx.to_onnx(model, initial_types=[("X", kind)], target_opset=opset)


def _dtype_inside(model: Any) -> np.dtype:
    """Give the dtype of the weights in a search or at the end of a pipeline; else float64."""
    if hasattr(model, "coefs_"):
        return model.coefs_[0].dtype
    if hasattr(model, "best_estimator_"):
        return _dtype_inside(model.best_estimator_)
    return _dtype_inside(model.steps[-1][1]) if hasattr(model, "steps") else np.dtype(np.float64)


def _skl2onnx_type(dtype: np.dtype, shape: list[int]) -> Any:
    from skl2onnx.common import data_types

    kinds = {
        "float32": data_types.FloatTensorType,
        "float64": data_types.DoubleTensorType,
        "int64": data_types.Int64TensorType,
        "bool": data_types.BooleanTensorType,
        "object": data_types.StringTensorType,
    }
    return kinds[dtype.name]([None, *shape])
