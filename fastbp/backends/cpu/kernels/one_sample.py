"""One sample: its prediction, and one online update, in about a microsecond with the call.

Most of what a call from Python costs is unpacking its arguments. These kernels take a plan (see
``machine/views.py``) of a layout and a workspace that stay where they are, among them the padded
parameters, which ``coefs_`` are views of: nothing is packed. They keep the interpreter's lock, so
that threads that share an estimator share its workspace one after the other.
"""

import math
from typing import Any

from numba.core import config

from fastbp.backends.cpu.kernels.online import forward_sample, sweep_in_chunks
from fastbp.backends.cpu.kernels.workspace import Workspace
from fastbp.backends.cpu.layout import Layout
from fastbp.machine.jit import kernel, part
from fastbp.machine.views import matrix, stretch
from fastbp.model.data import Data
from fastbp.model.update_rules import Rule

__all__ = ["IS_COMPILED", "NOT_FINITE", "OVERFLOW", "learn_one", "predict_one"]

NOT_FINITE, OVERFLOW = 1, 2
IS_COMPILED = not config.DISABLE_JIT

_NO_RULE = Rule(0, 0.0, 0.0, 0.0, 0.0)


@part
def _all_finite(vector):
    total = 0.0
    for i in range(vector.size):
        total += 0.0 * vector[i]
    return total == 0.0


@part
def _largest(vector):
    largest = 0.0
    for i in range(vector.size):
        largest = max(largest, abs(vector[i]))
    return largest


def _predict_one(network: Layout, workspace: Workspace, x: Any, prediction: Any) -> Any:
    """Predict one sample.

    plan : of `plan_of`.  x : (n_features,).  prediction : (n_outputs,), overwritten. Returns
    NOT_FINITE for x that holds NaN or infinity, and then nothing is predicted; OVERFLOW for a
    prediction that does; else 0.
    """
    if not _all_finite(x):
        return NOT_FINITE
    outputs = forward_sample(network, workspace, x, _NO_RULE)
    for j in range(prediction.size):
        prediction[j] = outputs[j]
    return 0 if _all_finite(prediction) else OVERFLOW


def _learn_one(network: Layout, workspace: Workspace, x: Any, y: Any, numbers: Any) -> Any:
    """Update the parameters for one sample, in place.

    plan : of `plan_of`.  x : (n_features,).  y : (n_outputs,).  numbers : a Rule's, alpha, the
    number of steps made before, which is raised, and the largest number in x or y that cannot make
    the update overflow. Returns the loss before the update. Where that is not finite nothing is
    changed; nor where it is -1, because a number is so large that the update might overflow.
    """
    if not (_all_finite(x) and _all_finite(y)):
        return math.nan
    if _largest(x) > numbers[7] or _largest(y) > numbers[7]:
        return -1.0
    none, no_number = stretch(x, 0, 0), stretch(network.sizes, 0, 0)
    data = Data(
        matrix(x, 0, 1, x.size), none, no_number, no_number, matrix(y, 0, 1, y.size), none, 1.0
    )
    rule = Rule(int(numbers[0]), numbers[1], numbers[2], numbers[3], numbers[4])
    row = stretch(workspace.starts, 0, 1)
    loss, _, n_steps = sweep_in_chunks(
        network, data, row, 1, numbers[5], rule, int(numbers[6]), workspace
    )
    numbers[6] = n_steps
    return loss


predict_one = kernel(_predict_one, nogil=False)
learn_one = kernel(_learn_one, nogil=False)
