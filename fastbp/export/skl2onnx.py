"""How skl2onnx converts a network, in a pipeline, a search, an ensemble."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastbp.export.fitted import FittedNetwork
from fastbp.export.onnx_graph import Graph, outputs_of, write_network

__all__ = ["ConvertibleToOnnx", "through_skl2onnx"]


class ConvertibleToOnnx:
    """An estimator that skl2onnx converts, alone or in a pipeline, without being told how.

    skl2onnx asks an estimator's methods. What else it asks, for options and in ensembles, goes by
    what has been registered: `to_onnx` registers all such estimators, and so does the first method
    that is called.
    """

    def onnx_parser(self) -> Callable:
        """Give skl2onnx a function that names the outputs, with their types."""
        _register(type(self))

        def parse(scope: Any = None, inputs: Any = None) -> list:
            del scope, inputs
            outputs = outputs_of(FittedNetwork.of(self, "skl2onnx"))
            return [(name, _skl2onnx_type(*output)) for name, output in outputs.items()]

        return parse

    def onnx_shape_calculator(self) -> Callable:
        """Give skl2onnx a function that sets the outputs' types and shapes."""
        return _set_types

    def onnx_converter(self) -> Callable:
        """Give skl2onnx a function that adds the network to a graph."""
        return _convert


def through_skl2onnx(model: Any, opset: int) -> Any:
    """Convert what has a network inside with skl2onnx, for one table X of the weights' dtype."""
    try:
        import skl2onnx
    except ImportError as error:
        raise ImportError(
            f"To convert a {type(model).__name__}, to_onnx needs skl2onnx: pip install skl2onnx"
        ) from error
    for kind in _subclasses(ConvertibleToOnnx):
        _register(kind)
    table = _skl2onnx_type(_dtype_inside(model), [model.n_features_in_])
    return skl2onnx.to_onnx(model, initial_types=[("X", table)], target_opset=opset)


def _subclasses(kind: type) -> Iterator[type]:
    below: list[type] = kind.__subclasses__()
    for each in below:
        yield each
        yield from _subclasses(each)


def _dtype_inside(model: Any) -> np.dtype:
    """Give the dtype of the weights in a search or at the end of a pipeline; else float64."""
    if hasattr(model, "coefs_"):
        return model.coefs_[0].dtype
    if hasattr(model, "best_estimator_"):
        return _dtype_inside(model.best_estimator_)
    return _dtype_inside(model.steps[-1][1]) if hasattr(model, "steps") else np.dtype(np.float64)


def _register(kind: type) -> None:
    from skl2onnx import update_registered_converter
    from skl2onnx._parse import _parse_sklearn_simple_model

    def parse(scope: Any, model: Any, inputs: Any, custom_parsers: Any = None) -> Any:
        return _parse_sklearn_simple_model(scope, model, inputs, custom_parsers)

    # Pipelines ask a classifier for a zipmap, a list of dicts: it gives an array all the same.
    options = {"zipmap": [True, False]} if hasattr(kind, "predict_proba") else None
    update_registered_converter(
        kind, f"Fastbp{kind.__name__}", _set_types, _convert, parser=parse, options=options
    )


def _set_types(operator: Any) -> None:
    outputs = outputs_of(FittedNetwork.of(operator.raw_operator, "skl2onnx"))
    for variable, output in zip(operator.outputs, outputs.values(), strict=True):
        variable.type = _skl2onnx_type(*output)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    from onnx import helper

    network = FittedNetwork.of(operator.raw_operator, "skl2onnx")
    graph = Graph(network.dtype, scope.get_unique_operator_name("fastbp") + "_")
    kind = helper.np_dtype_to_tensor_dtype(network.dtype)
    inputs = [graph.node("Cast", one.full_name, to=kind) for one in operator.inputs]
    x = inputs[0] if len(inputs) == 1 else graph.node("Concat", *inputs, axis=1)
    write_network(network, graph, x, [output.full_name for output in operator.outputs])
    container.nodes.extend(graph.nodes)
    container.initializers.extend(graph.constants)
    container.node_domain_version_pair_sets.add(("", container.main_opset))


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
