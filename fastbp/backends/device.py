"""Where it is computed: the one place that chooses a backend, and says why a GPU is not there.

Nothing of the GPU or of Dask is imported before somebody asks for it.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.cpu.fleet import Fleet as CpuFleet
from fastbp.backends.cpu.fleet import fits_lanes, n_lanes
from fastbp.backends.cpu.objective import Objective
from fastbp.backends.cpu.predict import predict
from fastbp.backends.dask.objective import PartitionsObjective
from fastbp.backends.dask.partitions import Partitions
from fastbp.model import objective as protocols
from fastbp.model.data import Data, Rows
from fastbp.model.fleet import Fleet, FleetMember
from fastbp.model.network import Network
from fastbp.model.update_rules import UpdateRule

__all__ = [
    "DEVICES",
    "describe_gpu",
    "fits_lanes",
    "has_gpu",
    "make_fleet",
    "make_objective",
    "make_predictor",
    "n_lanes",
    "resolve",
    "why_no_gpu",
]

DEVICES = ("cpu", "cuda", "auto")


@cache
def why_no_gpu() -> str | None:
    """Say why there is no GPU to compute on: no package, no driver or no device.

    Returns
    -------
    reason : str or None
        The reason with its cure; None where there is a GPU.
    """
    if find_spec("numba_cuda") is None:
        return (
            "the package numba-cuda is not installed. Install fastbp with it: pip install "
            "'fastbp[cuda13]', or 'fastbp[cuda12]' for a driver of CUDA 12"
        )
    from fastbp.machine import gpu

    return gpu.why_not()


def has_gpu() -> bool:
    """Whether there is a GPU to compute on."""
    return why_no_gpu() is None


def resolve(device: str) -> str:
    """Choose the device that a name stands for.

    Parameters
    ----------
    device : {"cpu", "cuda", "auto"}
        "auto" is the GPU where there is one.

    Returns
    -------
    device : {"cpu", "cuda"}
        The device.

    Raises
    ------
    RuntimeError
        If it is "cuda" and there is none.
    """
    if device == "auto":
        return "cuda" if has_gpu() else "cpu"
    if device == "cuda" and not has_gpu():
        raise RuntimeError(
            f"device='cuda' needs a GPU, but {why_no_gpu()}. device='auto' takes the CPU then."
        )
    return device


def make_objective(
    device: str, network: Network, data: Rows, alpha: float, n_threads: int
) -> protocols.Objective:
    """Bind a network to data, on a device.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        Where it is computed.
    network : Network
        The network.
    data : Rows
        Inputs, targets and sample weights. What lies in partitions is computed with there.
    alpha : float
        Strength of the weight decay.
    n_threads : int
        Threads of the CPU.

    Returns
    -------
    objective : Objective
        What solvers minimise (``model/objective.py``).
    """
    if isinstance(data, Partitions):
        return PartitionsObjective(network, data, alpha)
    assert isinstance(data, Data)
    if device == "cpu":
        return Objective(network, data, alpha, n_threads)
    from fastbp.backends.gpu.objective import DeviceObjective

    return DeviceObjective(network, data, alpha, n_threads)


def make_predictor(
    device: str, network: Network, data: Rows, n_threads: int
) -> Callable[[NDArray[np.floating]], NDArray[np.floating]]:
    """Make a function from parameters to the predictions of some rows, (n_samples, n_outputs).

    Parameters
    ----------
    device : {"cpu", "cuda"}
        Where it computes; on a GPU the data stay there.
    network : Network
        The network.
    data : Rows
        The inputs.
    n_threads : int
        Threads of the CPU.

    Returns
    -------
    predict : callable
        From parameters to predictions.
    """
    if isinstance(data, Partitions):
        return partial(data.predictions, network)
    assert isinstance(data, Data)
    if device == "cpu":
        return partial(predict, network, data=data, n_threads=n_threads)
    from fastbp.backends.gpu.predict import predictor

    return predictor(network, data)


def make_fleet(
    device: str,
    members: Sequence[FleetMember],
    tables: Sequence[Data],
    rule: UpdateRule,
    n_threads: int,
) -> Fleet:
    """Make networks ready to be trained side by side.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        Where. On the CPU they are all the same network, one that `fits_lanes`.
    members : sequence of FleetMember
        The networks.
    tables : sequence of Data
        What they are trained on.
    rule : UpdateRule
        The update rule of all.
    n_threads : int
        Threads of the CPU: to train in, or to draw the orders of rows in.

    Returns
    -------
    fleet : Fleet
        The networks, trained where they are.
    """
    if device == "cpu":
        return CpuFleet(members, tables, rule, n_threads)
    from fastbp.backends.gpu.data import DeviceTables
    from fastbp.backends.gpu.fleet import Fleet as DeviceFleet

    return DeviceFleet(members, DeviceTables(list(tables)), rule, n_threads)


def describe_gpu() -> str:
    """Name the GPU, or say why there is none."""
    reason = why_no_gpu()
    if reason is not None:
        return f"none: {reason}"
    from fastbp.machine import gpu

    return gpu.device_name()
