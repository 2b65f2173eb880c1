"""A fitted network as Python source that needs NumPy alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.export.fitted import FittedNetwork
from fastbp.export.text import expression_of
from fastbp.export.trace import ONE, trace

__all__ = ["to_numpy"]

_TEMPLATES = {
    "add": "({0} + {1})",
    "subtract": "({0} - {1})",
    "multiply": "({0} * {1})",
    "divide": "({0} / {1})",
    "negative": "(-{0})",
    "less": "({0} < {1})",
    "less_equal": "({0} <= {1})",
    "greater": "({0} > {1})",
    "greater_equal": "({0} >= {1})",
    "equal": "({0} == {1})",
    "where": "np.where({0}, {1}, {2})",
    "absolute": "np.abs({0})",
    "ndtr": "ndtr({0})",
    ONE: "np.ones_like({0})",
} | {
    name: f"np.{name}({{0}})"
    for name in ("exp", "expm1", "log", "log1p", "tanh", "sin", "cos", "sqrt")
}


def to_numpy(model: Any) -> str:
    """Write a fitted network as the source of a NumPy function.

    The source defines ``predict(X)``, whose result is the estimator's: (n_samples,), or
    (n_samples, n_outputs) where there are several outputs. A classifier's has ``predict_proba(X)``,
    (n_samples, n_classes), too. It needs NumPy alone; with gelu SciPy's normal distribution, too.

    Parameters
    ----------
    model : BackpropRegressor or BackpropClassifier
        The fitted estimator. What a pipeline does before it is not written.

    Returns
    -------
    source : str
        The text of a module.

    Raises
    ------
    ValueError
        If the model is not fitted or is something else, or calls in an activation of your own what
        cannot be written.

    Examples
    --------
    >>> from fastbp import BackpropRegressor, to_numpy
    >>> net = BackpropRegressor("squared_error", (), solver="lm", alpha=0.0)
    >>> net = net.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])  # y = 2 x + 1
    >>> module = {}
    >>> exec(to_numpy(net), module)  # or write it to a file, net.py, and import that
    >>> print(module["predict"]([[3.0]]).round(3))
    [7.]
    """
    network = FittedNetwork.of(model, "to_numpy")
    constants, body = [], f"    a = np.asarray(X, dtype=np.{network.dtype})\n"
    for i, layer in enumerate(network.layers):
        constants += [_array(f"_W{i + 1}", layer.weights), _array(f"_B{i + 1}", layer.biases)]
        body += f"    z = a @ _W{i + 1} + _B{i + 1}\n"
        if layer.is_softmax:
            body += "    e = np.exp(z - z.max(axis=1, keepdims=True))\n"
            body += "    a = e / e.sum(axis=1, keepdims=True)\n"
            continue
        operations = trace(layer.activation.value, network.dtype)
        statements, result = expression_of(operations, _TEMPLATES, _literal, lambda name, _: name)
        body += "".join(f"    {line}\n" for line in (*statements, f"a = {result}"))
    if network.scale is not None and network.mean is not None:
        constants += [_array("_SCALE", network.scale), _array("_MEAN", network.mean)]
        body += "    a = a * _SCALE + _MEAN\n"
    sizes = "-".join(map(str, network.layer_sizes))
    text = f'"""A neural network of {sizes} units, written by fastbp."""\n\nimport numpy as np\n'
    if "ndtr(" in body:
        text += "from scipy.special import ndtr\n"
    if network.classes is None:
        result = "a.ravel()" if network.n_outputs == 1 else "a"
        functions = f'def predict(X):\n    """Predict targets."""\n{body}    return {result}\n'
    else:
        constants.append(f"_CLASSES = np.array({network.labels()!r})\n")
        decide = "(p > 0.5).astype(int)" if network.is_multilabel else "_CLASSES[p.argmax(axis=1)]"
        functions = (
            f'def predict_proba(X):\n    """Predict probabilities."""\n{body}    return a\n\n\n'
            'def predict(X):\n    """Predict labels."""\n'
            f"    p = predict_proba(X)\n    return {decide}\n"
        )
    return f"{text}\n{''.join(constants)}\n\n{functions}"


def _array(name: str, numbers: NDArray[np.floating]) -> str:
    # A number's str has the fewest digits that give it again.
    rows = [f"[{', '.join(map(str, row))}]" for row in np.atleast_2d(numbers)]
    text = rows[0] if numbers.ndim == 1 else "[\n    " + ",\n    ".join(rows) + "\n]"
    return f"{name} = np.array({text}, dtype=np.{numbers.dtype})\n"


def _literal(number: float) -> str:
    text = repr(number) if np.isfinite(number) else f"np.float64('{number}')"
    return f"({text})" if text.startswith("-") else text
