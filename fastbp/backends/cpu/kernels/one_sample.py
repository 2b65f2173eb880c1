"""One sample: its prediction, and one online update, in about a microsecond with the call.

Most of what a call from Python costs is unpacking its arguments. These kernels take a plan (see
``machine/views.py``) of a layout and a workspace that stay where they are, among them the padded
parameters, which ``coefs_`` are views of: nothing is packed. They keep the interpreter's lock, so
that threads that share an estimator share its workspace one after the other.
"""

import math
from typing import Any, NamedTuple

from numba.core import config

from fastbp.backends.cpu.kernels.online import SWEEPS, forward_sample
from fastbp.backends.cpu.kernels.workspace import Workspace
from fastbp.backends.cpu.layout import Layout
from fastbp.machine.extremes import larger
from fastbp.machine.jit import kernel, part
from fastbp.machine.views import borrow, matrix, stretch
from fastbp.model.data import Data
from fastbp.model.update_rules import UPDATE_RULES, Rule

__all__ = [
    "IS_COMPILED",
    "LEARN_ONE_KERNELS",
    "NOT_FINITE",
    "OVERFLOW",
    "Net",
    "learn_one",
    "predict_one",
]

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
        largest = larger(largest, abs(vector[i]))
    return largest


class Net(NamedTuple):
    """A network and where it is computed; one tuple, because a call looks at each argument."""

    layout: Layout
    workspace: Workspace


def _predict_one(net: Net, x: Any, prediction: Any) -> Any:
    """Predict one sample.

    net : Net.  x : (n_features,).  prediction : (n_outputs,), overwritten. Returns
    NOT_FINITE for x that holds NaN or infinity, and then nothing is predicted; OVERFLOW for a
    prediction that does; else 0.
    """
    if not _all_finite(x):
        return NOT_FINITE
    outputs = forward_sample(net.layout, net.workspace, x, borrow(_NO_RULE))
    for j in range(prediction.size):
        prediction[j] = outputs[j]
    return 0 if _all_finite(prediction) else OVERFLOW


def _learner(name: str, sweep: Any) -> Any:
    """Make the kernel of one rule."""

    def run(net: Net, x: Any, y: Any, numbers: Any) -> Any:
        if not (_all_finite(x) and _all_finite(y)):
            return math.nan
        if _largest(x) > numbers[7] or _largest(y) > numbers[7]:
            return -1.0
        network, workspace = net.layout, net.workspace
        none, no_number = stretch(x, 0, 0), stretch(network.sizes, 0, 0)
        x, y = matrix(x, 0, 1, x.size), matrix(y, 0, 1, y.size)
        # Borrowed, they are of the compiler's types that a fit's are: the sweep is typed once.
        data = borrow(Data(x, none, no_number, no_number, y, none, 1.0))
        rule = borrow(Rule(int(numbers[0]), numbers[1], numbers[2], numbers[3], numbers[4]))
        row_0 = stretch(workspace.starts, 0, 1)
        loss, _, n_steps = sweep(
            network, data, row_0, 1, numbers[5], rule, int(numbers[6]), workspace
        )
        numbers[6] = n_steps
        return loss

    run.__qualname__ = f"learn_one_{name}"  # by which the cache tells kernels apart
    return kernel(run, nogil=False)


#: The kernel of each rule, at its code.
LEARN_ONE_KERNELS = [
    _learner(name, sweep) for name, sweep in zip(UPDATE_RULES, SWEEPS, strict=True)
]


def learn_one(net: Any, x: Any, y: Any, numbers: Any) -> float:
    """Update the parameters for one sample, in place.

    net : Net.  x : (n_features,).  y : (n_outputs,).  numbers : a Rule's, alpha, the number of
    steps made before, which is raised, and the largest number in x or y that cannot make the update
    overflow. Returns the loss before the update. Where that is not finite nothing is changed; nor
    where it is -1, because a number is so large that the update might overflow. Each rule has a
    kernel of its own.
    """
    return LEARN_ONE_KERNELS[int(numbers[0])](net, x, y, numbers)


predict_one = kernel(_predict_one, nogil=False)
