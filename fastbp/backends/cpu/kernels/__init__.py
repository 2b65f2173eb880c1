"""Backpropagation, compiled: arrays in, arrays changed in place; no estimator in sight.

One sample's backpropagation, in the notation that all files here share. Layer l has the weights W
(fan_in, fan_out), the biases b, the activation f; x is what comes in from the layer below.

    forward     z = x W + b                 net input
                a = f(z),  s = f'(z)        output and slope, computed together
    error       delta = d loss / d z        of the output layer: (prediction - y), or by chain rule
    backward    delta_below = (delta W^T) * s_below
    gradient    d loss / d W = outer(x, delta),    d loss / d b = delta
    update      W moves against the gradient; how far is the update rule's business

The parameter vector is copied to a padded one whose rows are whole vectors of the chip
(``packing.py``; `Layout` says how), and all kernels compute on that. ``../elementwise.py`` has f,
f' and the loss, which kernels call by address, ``passes.py`` the way up and down through all layers
for a block of rows, ``update_rules.py`` how parameters move. On these stand ``batch.py``, the sum
over rows and the sweep over mini-batches, ``online.py``, the sweep that updates after every sample,
``lanes.py`` with ``lane_online.py`` and ``lane_batches.py`` over ``lane_epochs.py``, the same and
mini-batches of a few rows for networks side by side, one in each lane,
``predict.py``, the forward pass alone, ``jacobian.py``, the predictions' derivatives, and
``normal_equations.py``, those of least squares.
``epochs.py`` makes several sweeps in a call, ``one_sample.py`` does one sample, ``team.py`` with
``items.py`` and ``shares.py`` mini-batches in threads. To read them one needs, of ``machine/``:
``simd.py`` (what a vector is), ``matmul.py`` and ``dots.py`` (how products fill the chip),
``switch.py`` and ``by_address.py`` (one of several functions) and ``views.py`` (arrays without
ceremony).

Shapes are given at each function. Arrays named ``outputs`` and ``deltas`` are workspace: the
outputs and error signals of every layer for one block of rows, one layer's block after another's
(see ``Workspace``). Nothing is allocated here, nothing raised.
"""

from fastbp.backends.cpu.kernels.batch import accumulate, batch_epochs, penalise, step
from fastbp.backends.cpu.kernels.epochs import EpochState
from fastbp.backends.cpu.kernels.jacobian import (
    DerivativeWorkspace,
    input_gradient,
    make_derivative_workspace,
    parameter_jacobian,
)
from fastbp.backends.cpu.kernels.lane_batches import lane_batches
from fastbp.backends.cpu.kernels.lane_online import LANE_KERNELS
from fastbp.backends.cpu.kernels.lane_state import (
    LaneLayout,
    LanePlans,
    LaneWorkspace,
    Members,
)
from fastbp.backends.cpu.kernels.lanes import panel_width as lane_panel_width
from fastbp.backends.cpu.kernels.normal_equations import (
    JacobianWorkspace,
    add_normal_equations,
    make_jacobian_workspace,
    panel_width,
)
from fastbp.backends.cpu.kernels.one_sample import (
    IS_COMPILED,
    LEARN_ONE_KERNELS,
    NOT_FINITE,
    OVERFLOW,
    Net,
    learn_one,
    predict_one,
)
from fastbp.backends.cpu.kernels.online import ONLINE_KERNELS, ROWS_OF_A_CHUNK, online_epochs
from fastbp.backends.cpu.kernels.predict import predict
from fastbp.backends.cpu.kernels.shares import ALONE, LEAVE, LINE, can_wait, make_team
from fastbp.backends.cpu.kernels.team import team_epochs
from fastbp.backends.cpu.kernels.workspace import Workspace, make_workspace
from fastbp.machine.views import write_plan

__all__ = [
    "ALONE",
    "IS_COMPILED",
    "LANE_KERNELS",
    "LEARN_ONE_KERNELS",
    "LEAVE",
    "LINE",
    "NOT_FINITE",
    "ONLINE_KERNELS",
    "OVERFLOW",
    "ROWS_OF_A_CHUNK",
    "DerivativeWorkspace",
    "EpochState",
    "Net",
    "JacobianWorkspace",
    "LaneLayout",
    "LanePlans",
    "LaneWorkspace",
    "Members",
    "Workspace",
    "accumulate",
    "add_normal_equations",
    "batch_epochs",
    "can_wait",
    "input_gradient",
    "lane_batches",
    "lane_panel_width",
    "learn_one",
    "make_derivative_workspace",
    "make_jacobian_workspace",
    "make_team",
    "make_workspace",
    "online_epochs",
    "panel_width",
    "parameter_jacobian",
    "penalise",
    "predict",
    "predict_one",
    "step",
    "write_plan",
    "team_epochs",
]
