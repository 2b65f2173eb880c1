"""Backpropagation on the GPU, compiled when a GPU is asked for.

The notation is that of ``cpu/kernels/__init__.py``. There are two ways to keep a GPU busy.

*A batch of many rows* is cut into tiles of rows, a block of threads each: ``tiles.py`` goes up and
down through the layers, with ``products.py``, the two products of a tile. ``full_pass.py`` sums
over all rows or predicts them, ``batch.py`` trains in mini-batches; both share out their tiles by
``slots.py``.
*Many networks at once* are a block each: sample by sample in ``online.py``, with ``samples.py``, or
in mini-batches in ``batch.py``.

``elementwise.py`` and ``softmax.py`` have activations and losses, ``update_rules.py`` the update
rules, from the same plain functions as on the CPU; ``epoch_end.py`` decides whether there is
another epoch.
``placement.py`` says where a network's parameters lie, ``launch_arguments.py`` what kernels take.

Sums have one order and no atomic additions, so the same call gives the same bits. Nothing here
launches a kernel: ``launches.py`` and ``full_pass.py``, above, do.
"""

from fastbp.backends.gpu.kernels.batch import PARAMETERS_OF_A_CHUNK, BatchKernels, batch_kernels
from fastbp.backends.gpu.kernels.epoch_end import MAX_THREADS
from fastbp.backends.gpu.kernels.full_pass import FullPassKernels, add_up, full_pass_kernels
from fastbp.backends.gpu.kernels.launch_arguments import (
    N_SETTINGS,
    Inputs,
    LaunchArguments,
    State,
)
from fastbp.backends.gpu.kernels.online import ROWS_OF_A_CHUNK, online_kernel
from fastbp.backends.gpu.kernels.placement import (
    OwnRecords,
    Placement,
    own_records_of,
    sample_placement,
    tile_placement,
)
from fastbp.backends.gpu.kernels.slots import MAX_SLOTS
from fastbp.backends.gpu.kernels.tiles import PADDING

__all__ = [
    "MAX_SLOTS",
    "MAX_THREADS",
    "N_SETTINGS",
    "PADDING",
    "PARAMETERS_OF_A_CHUNK",
    "ROWS_OF_A_CHUNK",
    "BatchKernels",
    "FullPassKernels",
    "Inputs",
    "LaunchArguments",
    "OwnRecords",
    "Placement",
    "State",
    "add_up",
    "batch_kernels",
    "full_pass_kernels",
    "online_kernel",
    "own_records_of",
    "sample_placement",
    "tile_placement",
]
