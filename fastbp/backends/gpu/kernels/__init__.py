"""Backpropagation on the GPU: the same as ``kernels/``, imported only when it was asked for.

The notation is that of ``kernels/__init__.py``. There are two ways to keep a GPU busy.

*A batch of many rows* is cut into tiles of rows, a block of threads each: ``batch.py``, on
``tiles.py`` (up and down through the layers) and ``products.py`` (the two products of a tile).
*Many networks at once* are a block each: sample by sample in ``online.py``, in mini-batches in
``batch.py``. ``elementwise.py`` has activations and losses, ``moves.py`` the update rules, from the
same plain functions as on the CPU; ``plan.py`` says where a network's weights lie, ``courses.py``
what kernels take.

Sums have one order and no atomic additions, so the same call gives the same bits. Nothing here
launches a kernel: ``fleet.py``, above, does.
"""

from fastbp.backends.gpu.kernels.batch import CHUNK, MOST_SLOTS, Kernels, batch_kernels
from fastbp.backends.gpu.kernels.launch_arguments import N_NUMBERS, Course, Inputs, State
from fastbp.backends.gpu.kernels.online import ROWS_OF_A_CHUNK, online_kernel
from fastbp.backends.gpu.kernels.placement import Placement, sample_placement, tile_placement
from fastbp.backends.gpu.kernels.tiles import PADDING
from fastbp.backends.gpu.kernels.update_rules import MOST_THREADS

__all__ = [
    "CHUNK",
    "MOST_SLOTS",
    "MOST_THREADS",
    "N_NUMBERS",
    "PADDING",
    "ROWS_OF_A_CHUNK",
    "Course",
    "Inputs",
    "Kernels",
    "Placement",
    "State",
    "batch_kernels",
    "online_kernel",
    "sample_placement",
    "tile_placement",
]
