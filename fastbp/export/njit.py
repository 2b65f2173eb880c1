"""A fitted network as a compiled function of one sample, for a user's own compiled code."""

from typing import Any

from fastbp.export.fitted import FittedNetwork

__all__ = ["to_njit"]


def to_njit(model: Any) -> Any:
    """Make a numba function of one sample out of a fitted network.

    ``predict(x)`` takes an array or tuple of ``n_features`` numbers and gives, as
    `predict_one` does but for rounding, a number where there is one output, else an array
    (n_outputs,). Of a classifier it gives the probability of each class, (n_classes,), in the order
    of ``classes_``. It may be called in your own ``@njit`` code, in any number of threads. Numbers
    that are not finite are not refused: they give NaN.

    The weights are copied into the code: after another fit call `to_njit` again. Do not keep what
    calls it on disk (``cache=True``): numba does not see that the weights have changed.

    Parameters
    ----------
    model : BackpropRegressor or BackpropClassifier
        The fitted estimator. What a pipeline does before it is not done.

    Returns
    -------
    predict : function
        numba's dispatcher, compiled at its first call, in a second or two.

    Raises
    ------
    ValueError
        If the model is not fitted or is something else.

    Examples
    --------
    >>> import numpy as np
    >>> from numba import njit
    >>> from fastbp import BackpropRegressor, to_njit
    >>> net = BackpropRegressor("squared_error", (), solver="lm", alpha=0.0)
    >>> net = net.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])  # y = 2 x + 1
    >>> predict = to_njit(net)
    >>> @njit
    ... def simulate(x, n):
    ...     for _ in range(n):
    ...         x[0] = predict(x)
    ...     return x[0]
    >>> round(simulate(np.array([0.0]), 3), 3)  # 0, 1, 3, 7
    7.0
    """
    network = FittedNetwork.of(model, "to_njit")
    from fastbp.export.kernels import compiled_predict  # loads the compiler

    return compiled_predict(network)
