"""A fitted network as an ONNX model."""

from typing import Any

from fastbp.export.fitted import FittedNetwork
from fastbp.export.onnx_graph import Graph, outputs_of, write_network
from fastbp.export.skl2onnx import through_skl2onnx

__all__ = ["to_onnx"]

_OPSET, _IR_VERSION = 17, 8


def to_onnx(model: Any) -> Any:
    """Convert a fitted network, or a pipeline that ends in one, to ONNX.

    The input is ``X``, (n_samples, n_features), in the dtype of the weights; where a pipeline
    begins with a `TableEncoder` of columns of text, each column is an input (n_samples, 1) of its
    name, with _ for what is no letter or digit. A regressor's output
    is ``variable``, (n_samples, n_outputs), a classifier's are ``label``, as of `predict`, and
    ``probabilities``, (n_samples, n_classes): the names that skl2onnx has for them.

    Parameters
    ----------
    model : BackpropRegressor, BackpropClassifier, or what skl2onnx can convert
        The fitted model; of a search the best. A network needs the package onnx alone; pipelines
        and ensembles are converted by skl2onnx, whose own ``to_onnx`` converts fastbp's estimators,
        too: call that where X has columns of several types, and for ensembles call
        ``fastbp.export.skl2onnx.register()`` first.

    Returns
    -------
    onnx_model : onnx.ModelProto
        The model, of opset 17; ``onnx_model.SerializeToString()`` is what a runtime loads.

    Raises
    ------
    ValueError
        If the model is not fitted, or calls in an activation of your own what cannot be written.
    ImportError
        If onnx, or for a pipeline skl2onnx, is not installed.

    Examples
    --------
    >>> from fastbp import BackpropRegressor, to_onnx
    >>> net = BackpropRegressor("squared_error", (), solver="lm", alpha=0.0)
    >>> net = net.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])  # y = 2 x + 1
    >>> model = to_onnx(net)  # model.SerializeToString() is what a file holds
    >>> [node.op_type for node in model.graph.node]
    ['Gemm', 'Identity']
    """
    try:
        from onnx import checker, helper
    except ImportError as error:
        raise ImportError("to_onnx needs the package onnx: pip install 'fastbp[onnx]'") from error

    model = getattr(model, "best_estimator_", model)
    if hasattr(model, "n_features_in_") and not hasattr(type(model), "predict_one"):
        return through_skl2onnx(model, _OPSET)
    network = FittedNetwork.of(model, "to_onnx")
    graph = Graph(network.dtype)
    outputs = outputs_of(network)
    write_network(network, graph, "X", list(outputs))
    tensors = {"X": (network.dtype, [network.n_features]), **outputs}
    x, *results = (
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), ["N", *shape])
        for name, (dtype, shape) in tensors.items()
    )
    onnx_model = helper.make_model(
        helper.make_graph(graph.nodes, "fastbp", [x], results, graph.constants),
        producer_name="fastbp",
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    checker.check_model(onnx_model, full_check=True)
    return onnx_model
