"""Derivatives of predictions with respect to inputs and to parameters, over a table."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.plans import planned_layout_of
from fastbp.machine.threads import run_slabs
from fastbp.model.data import Data
from fastbp.model.network import Network

__all__ = ["input_gradient", "parameter_jacobian"]


def input_gradient(
    network: Network, parameters: NDArray[np.floating], data: Data, n_threads: int = 1
) -> NDArray[np.floating]:
    """Differentiate predictions with respect to their inputs.

    Row by row they have the same bits however the rows are grouped.

    Parameters
    ----------
    network : Network
        The network.
    parameters : ndarray of shape (n_parameters,)
        The parameter vector, of the data's dtype.
    data : Data
        The inputs.
    n_threads : int, default=1
        Threads among which the rows are divided.

    Returns
    -------
    gradient : ndarray of shape (n_samples, n_outputs, n_features)
        The derivative of each output with respect to each input.
    """
    kernels = load_kernels()
    network.check_inputs(data)

    layout, plan = planned_layout_of(network, data.dtype)
    data_plan = kernels.write_plan(data)
    n_inputs, *_, n_outputs = network.layer_sizes
    gradient = np.empty((data.n_samples, n_outputs, n_inputs), dtype=data.dtype)
    rows = np.arange(data.n_samples)

    def differentiate_slab(calls: list[slice]) -> Iterator[None]:
        workspace = kernels.make_workspace(layout, data.dtype)
        derivatives = kernels.make_derivative_workspace(layout, workspace, 0, data.dtype)
        plans = kernels.write_plan(workspace), kernels.write_plan(derivatives)
        for part in calls:
            found = gradient[part].reshape(-1, n_inputs)
            kernels.input_gradient(plan, parameters, data_plan, rows[part], *plans, found)
            yield

    flops_per_row = (2 + 2 * n_outputs) * network.n_parameters
    run_slabs(differentiate_slab, len(rows), flops_per_row, n_threads)
    return gradient


def parameter_jacobian(
    network: Network, parameters: NDArray[np.floating], data: Data, rows: NDArray[np.int64]
) -> NDArray[np.floating]:
    """Differentiate some rows' predictions with respect to the parameters.

    Parameters
    ----------
    network : Network
        The network, whose output activation is no softmax.
    parameters : ndarray of shape (n_parameters,)
        The parameter vector, of the data's dtype.
    data : Data
        The inputs.
    rows : ndarray of shape (n,)
        Row numbers.

    Returns
    -------
    jacobian : ndarray of shape (n, n_outputs, n_parameters)
        The derivative of each output with respect to each parameter.
    """
    kernels = load_kernels()
    network.check_inputs(data)

    layout, plan = planned_layout_of(network, data.dtype)
    workspace = kernels.make_workspace(layout, data.dtype)
    derivatives = kernels.make_derivative_workspace(
        layout, workspace, network.n_parameters, data.dtype
    )
    n_outputs = network.layer_sizes[-1]
    jacobian = np.empty((len(rows) * n_outputs, network.n_parameters), dtype=data.dtype)
    plans = kernels.write_plan(workspace), kernels.write_plan(derivatives)
    data_plan = kernels.write_plan(data)
    kernels.parameter_jacobian(plan, parameters, data_plan, rows, *plans, jacobian)
    return jacobian.reshape(len(rows), n_outputs, -1)
