"""How skl2onnx converts what is fastbp's, in a pipeline, a search, an ensemble."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastbp.export.fitted import FittedNetwork
from fastbp.export.onnx_graph import Graph, outputs_of, write_network

__all__ = ["ML_DOMAIN", "ConvertibleToOnnx", "NetworkToOnnx", "register", "through_skl2onnx"]

#: ONNX's operators for tables, and since when their LabelEncoder is as it is.
ML_DOMAIN, _ML_VERSION = "ai.onnx.ml", 2

#: Tensors by name, each with its dtype, and its shape but for the rows.
Tensors = dict[str, tuple[np.dtype, list[int]]]


class ConvertibleToOnnx:
    """What skl2onnx converts, alone or in a pipeline, without being told how.

    skl2onnx asks a model's methods. What else it asks, for options and in ensembles, goes by what
    has been registered: `to_onnx` registers all such classes, and so does the first method that is
    called. Subclasses say what goes in and comes out, and write the nodes between.
    """

    @abstractmethod
    def _onnx_inputs(self) -> Tensors:
        """Name the inputs of a graph that begins here."""

    @abstractmethod
    def _onnx_outputs(self) -> Tensors:
        """Name the outputs."""

    @abstractmethod
    def _write_onnx(self, prefix: str, inputs: list, outputs: list[str]) -> Graph:
        """Write a part of a graph from skl2onnx's variables to names of outputs."""

    def onnx_parser(self) -> Callable:
        """Give skl2onnx a function that names the outputs, with their types."""
        _register(type(self))

        def parse(scope: Any = None, inputs: Any = None) -> list:
            del scope, inputs
            return _skl2onnx_types(self._onnx_outputs())

        return parse

    def onnx_shape_calculator(self) -> Callable:
        """Give skl2onnx a function that sets the outputs' types and shapes."""
        return _set_types

    def onnx_converter(self) -> Callable:
        """Give skl2onnx a function that adds the model to a graph."""
        return _convert


class NetworkToOnnx(ConvertibleToOnnx):
    """A network that skl2onnx converts."""

    def _onnx_inputs(self) -> Tensors:
        network = FittedNetwork.of(self, "skl2onnx")
        return {"X": (network.dtype, [network.n_features])}

    def _onnx_outputs(self) -> Tensors:
        return outputs_of(FittedNetwork.of(self, "skl2onnx"))

    def _write_onnx(self, prefix: str, inputs: list, outputs: list[str]) -> Graph:
        network = FittedNetwork.of(self, "skl2onnx")
        graph = Graph(network.dtype, prefix)
        tables = [graph.cast(one.full_name) for one in inputs]
        x = tables[0] if len(tables) == 1 else graph.node("Concat", *tables, axis=1)
        write_network(network, graph, x, outputs)
        return graph


def register() -> None:
    """Tell skl2onnx of fastbp's estimators, for its own ``to_onnx`` to find them in ensembles.

    A pipeline needs no telling, nor does `fastbp.to_onnx`. But a search or an ensemble of
    scikit-learn's looks the estimators inside it up in skl2onnx's table of classes.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import fastbp.export.skl2onnx, skl2onnx
    >>> from sklearn.ensemble import BaggingRegressor
    >>> fastbp.export.skl2onnx.register()
    >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0])
    >>> net = fastbp.BackpropRegressor("squared_error", (), solver="lm", alpha=0.0)
    >>> ensemble = BaggingRegressor(net, n_estimators=2, random_state=0).fit(X, y)
    >>> model = skl2onnx.to_onnx(ensemble, X[:1])
    """
    for kind in _subclasses(ConvertibleToOnnx):
        _register(kind)


def through_skl2onnx(model: Any, opset: int) -> Any:
    """Convert what has a network inside with skl2onnx.

    The input is one table X of the weights' dtype, unless the model's first step says other.
    """
    try:
        import skl2onnx
    except ImportError as error:
        raise ImportError(
            f"To convert a {type(model).__name__}, to_onnx needs skl2onnx: pip install skl2onnx"
        ) from error
    register()
    first = model.steps[0][1] if hasattr(model, "steps") else model
    if isinstance(first, ConvertibleToOnnx):
        inputs = first._onnx_inputs()
    else:
        inputs = {"X": (_dtype_inside(model), [model.n_features_in_])}
    return skl2onnx.to_onnx(model, initial_types=_skl2onnx_types(inputs), target_opset=opset)


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
    types = _skl2onnx_types(operator.raw_operator._onnx_outputs())
    for variable, (_, kind) in zip(operator.outputs, types, strict=True):
        variable.type = kind


def _convert(scope: Any, operator: Any, container: Any) -> None:
    prefix = scope.get_unique_operator_name("fastbp") + "_"
    outputs = [output.full_name for output in operator.outputs]
    graph = operator.raw_operator._write_onnx(prefix, operator.inputs, outputs)
    container.nodes.extend(graph.nodes)
    container.initializers.extend(graph.constants)
    for domain in {node.domain for node in graph.nodes}:
        version = _ML_VERSION if domain == ML_DOMAIN else container.main_opset
        container.node_domain_version_pair_sets.add((domain, version))


def _skl2onnx_types(tensors: Tensors) -> list[tuple[str, Any]]:
    from skl2onnx.common import data_types

    kinds = {
        "float32": data_types.FloatTensorType,
        "float64": data_types.DoubleTensorType,
        "int64": data_types.Int64TensorType,
        "bool": data_types.BooleanTensorType,
        "object": data_types.StringTensorType,
    }
    return [(name, kinds[dtype.name]([None, *shape])) for name, (dtype, shape) in tensors.items()]
