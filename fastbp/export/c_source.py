"""A fitted network as C99: constants and functions, without allocation and without state."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.export.fitted import FittedNetwork
from fastbp.export.text import expression_of
from fastbp.export.trace import ONE, Operation, trace
from fastbp.model.activations import Activation

__all__ = ["to_c"]

_ARITHMETIC = {
    "add": "({0} + {1})",
    "subtract": "({0} - {1})",
    "multiply": "({0} * {1})",
    "divide": "({0} / {1})",
    "negative": "(-{0})",
    "where": "({0} ? {1} : {2})",
}
_COMPARISONS = {
    "less": "({0} < {1})",
    "less_equal": "({0} <= {1})",
    "greater": "({0} > {1})",
    "greater_equal": "({0} >= {1})",
    "equal": "({0} == {1})",
}
_CALLS = {"absolute": "fabs"} | {
    name: name for name in ("exp", "expm1", "log", "log1p", "tanh", "sin", "cos", "sqrt")
}

_LAYER = """
/* z <- b + W x, with the weights of one input side by side. */
static void add_up(int n_in, int n_out, const real *x, const real *w, const real *b, real *z)
{
    for (int j = 0; j < n_out; j++)
        z[j] = b[j];
    for (int i = 0; i < n_in; i++)
        for (int j = 0; j < n_out; j++)
            z[j] += x[i] * w[i * n_out + j];
}
"""
_SOFTMAX = """
    real largest = {z}[0], sum = 0;
    for (int j = 1; j < {n}; j++)
        if ({z}[j] > largest)
            largest = {z}[j];
    for (int j = 0; j < {n}; j++) {{
        {z}[j] = {exp}({z}[j] - largest);
        sum += {z}[j];
    }}
    for (int j = 0; j < {n}; j++)
        {z}[j] /= sum;
"""
_CLASS = """
/* Number of the most probable class. */
int predict(const real x[{n_features}])
{{
    real p[{n}];
    int best = 0;
    predict_proba(x, p);
    for (int j = 1; j < {n}; j++)
        if (p[j] > p[best])
            best = j;
    return best;
}}
"""
_LABELS = """
/* 1 for each label that is more probable than not, else 0. */
void predict(const real x[{n_features}], int labels[{n}])
{{
    real p[{n}];
    predict_proba(x, p);
    for (int j = 0; j < {n}; j++)
        labels[j] = p[j] > {half};
}}
"""


def to_c(model: Any) -> str:
    """Write a fitted network as C99 that needs nothing but the C library's ``math.h``.

    It allocates nothing and has no state, so that threads may call it side by side. ``real`` is
    double, or float for weights in float32. A regressor becomes

    - ``void predict(const real x[], real y[])``, which writes the outputs in the targets' units.

    A classifier becomes

    - ``void predict_proba(const real x[], real p[])``, the probability of each class in the order
      of ``classes_``, which a comment names;
    - ``int predict(const real x[])``, the number of the most probable class, or, for several labels
      a row, ``void predict(const real x[], int labels[])``.

    Parameters
    ----------
    model : BackpropRegressor or BackpropClassifier
        The fitted estimator. What a pipeline does before it is not written.

    Returns
    -------
    source : str
        The text of one file.

    Raises
    ------
    ValueError
        If the model is not fitted or is something else, or calls in an activation of your own what
        cannot be written.

    Examples
    --------
    >>> from fastbp import BackpropRegressor, to_c
    >>> net = BackpropRegressor("squared_error", (), solver="lm", alpha=0.0)
    >>> net = net.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])  # y = 2 x + 1
    >>> code = to_c(net)  # write it to a file, net.c, and compile that
    >>> "void predict(const real x[1], real y[1])" in code
    True
    """
    network = FittedNetwork.of(model, "to_c")
    names, functions = _activations(network)
    body = "".join(
        f"    real a{i + 1}[{len(layer.biases)}];\n" for i, layer in enumerate(network.layers[:-1])
    )
    result, values = ("y", "predict") if network.classes is None else ("p", "predict_proba")
    for i, layer in enumerate(network.layers):
        n_in, n = layer.weights.shape
        source = f"a{i}" if i else "x"
        z = result if layer is network.layers[-1] else f"a{i + 1}"
        body += f"    add_up({n_in}, {n}, {source}, weights_{i + 1}, biases_{i + 1}, {z});\n"
        if layer.is_softmax:
            body += _SOFTMAX.format(z=z, n=n, exp=_function("exp", network.dtype)).lstrip("\n")
        elif layer.activation in names:
            body += f"    for (int j = 0; j < {n}; j++)\n"
            body += f"        {z}[j] = {names[layer.activation]}({z}[j]);\n"
    if network.scale is not None:
        body += f"    for (int j = 0; j < {network.n_outputs}; j++)\n"
        body += "        y[j] = y[j] * scale[j] + mean[j];\n"
    n_features, n = network.n_features, network.n_outputs
    parts = [
        _heading(network),
        *functions,
        _constants(network),
        _LAYER,
        f"\nvoid {values}(const real x[{n_features}], real {result}[{n}])\n{{\n{body}}}\n",
    ]
    if network.classes is not None:
        decide = _LABELS if network.is_multilabel else _CLASS
        parts.append(decide.format(n_features=n_features, n=n, half=_literal(0.5, network.dtype)))
    return "".join(parts)


def _heading(network: FittedNetwork) -> str:
    sizes = "-".join(map(str, network.layer_sizes))
    lines = [f"A neural network of {sizes} units, written by fastbp."]
    if network.classes is not None and not network.is_multilabel:
        # Nothing in a label may end the comment.
        labels = (re.sub(r"[^\w .,+-]", "_", str(label), flags=re.A) for label in network.classes)
        lines += ["", "Classes:", *(f"  {i}  {label}" for i, label in enumerate(labels))]
    comment = "\n".join(f" * {line}".rstrip() for line in lines)
    kind = "float" if network.dtype == np.float32 else "double"
    return f"/*\n{comment}\n */\n\n#include <math.h>\n\ntypedef {kind} real;\n"


def _constants(network: FittedNetwork) -> str:
    arrays = {}
    for i, layer in enumerate(network.layers):
        arrays[f"weights_{i + 1}"] = layer.weights.ravel()
        arrays[f"biases_{i + 1}"] = layer.biases
    if network.scale is not None and network.mean is not None:
        arrays |= {"scale": network.scale, "mean": network.mean}
    return "\n" + "".join(_array(name, array) for name, array in arrays.items())


def _array(name: str, numbers: NDArray[np.floating]) -> str:
    texts = [_literal(number, numbers.dtype) for number in numbers]
    lines = (", ".join(texts[i : i + 4]) for i in range(0, len(texts), 4))
    return f"static const real {name}[{len(texts)}] = {{\n    " + ",\n    ".join(lines) + "};\n"


def _literal(number: float, dtype: np.dtype) -> str:
    if not np.isfinite(number):
        return "NAN" if np.isnan(number) else "INFINITY" if number > 0 else "-INFINITY"
    text = str(dtype.type(number))  # the fewest digits that give the same number again
    return text + "f" if dtype == np.float32 else text


def _function(name: str, dtype: np.dtype) -> str:
    return f"{name}f" if dtype == np.float32 else name


def _activations(network: FittedNetwork) -> tuple[dict[Activation, str], list[str]]:
    """Name the functions of activations that are not the identity, and write them."""
    dtype = network.dtype
    names: dict[Activation, str] = {}
    functions = []
    for record in dict.fromkeys(one.activation for one in network.layers if not one.is_softmax):
        operations = trace(record.value, dtype)
        if len(operations) > 1:
            names[record] = f"activation_{len(names) + 1}"
            functions.append(_activation(operations, names[record], dtype))
    return names, functions


def _activation(operations: list[Operation], name: str, dtype: np.dtype) -> str:
    def literal(number: float) -> str:
        text = _literal(number, dtype)
        return f"({text})" if number < 0 else text

    def declare(name: str, operation: Operation) -> str:
        return f"const {'int' if operation.name in _COMPARISONS else 'real'} {name}"

    calls = {known: f"{_function(c, dtype)}({{0}})" for known, c in _CALLS.items()}
    erfc = _function("erfc", dtype)
    normal = {"ndtr": f"({literal(0.5)} * {erfc}({literal(-(0.5**0.5))} * {{0}}))"}
    templates = _ARITHMETIC | _COMPARISONS | calls | normal | {ONE: literal(1.0)}
    statements, result = expression_of(operations, templates, literal, declare)
    lines = "".join(f"    {line};\n" for line in (*statements, f"return {result}"))
    return f"\nstatic real {name}(real z)\n{{\n{lines}}}\n"
