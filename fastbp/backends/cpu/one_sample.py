"""One sample at a time: predictions and online updates that cost a microsecond, not a hundred.

A `OneSample` holds a network's parameters where the kernels work on them (padded, see `Layout`),
and its ``coefs`` and ``intercepts`` are views of that place: an edit of theirs is what the next
prediction uses, an update changes them in place, and nothing is copied between calls.
"""

import itertools
import operator
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.layout import layout_of, n_padded_of, pad, unpack_padded, unpad
from fastbp.machine.forks import LOADING
from fastbp.machine.memory import aligned_zeros
from fastbp.model.losses import refuse_targets
from fastbp.model.network import Network
from fastbp.model.update_rules import Moments, Rule

__all__ = ["OneSample"]


class OneSample:
    """A network ready to predict and to learn single samples.

    Parameters
    ----------
    network : Network
        The network.
    parameters : ndarray of shape (n_parameters,)
        The parameters, copied.

    Attributes
    ----------
    padded : ndarray of shape (n_padded,)
        The padded parameters (see `Layout`), in the one place where they are.
    coefs : list of ndarray of shape (fan_in, fan_out)
        Weights of each layer, views of the place where they are used and learnt.
    intercepts : list of ndarray of shape (fan_out,)
        Biases of each layer, likewise.
    repeats_target : bool
        Whether a target is one number, which all outputs are to learn.
    """

    def __init__(self, network: Network, parameters: NDArray[np.floating]) -> None:
        self.network = network
        self._dtype = parameters.dtype
        self.padded = aligned_zeros(n_padded_of(network, self._dtype), self._dtype)
        self.coefs, self.intercepts = unpack_padded(network, self.padded)
        for place, array in zip(
            (*self.coefs, *self.intercepts),
            itertools.chain(*network.unpack(parameters)),
            strict=True,
        ):
            place[...] = array
        self._n_features, self._n_outputs = network.layer_sizes[0], network.layer_sizes[-1]
        self._loss, self.repeats_target = network.loss_record, False
        self._plan: Any = None
        # A Rule's numbers, alpha, the number of steps made, and what `_learn_with_care` is for.
        self._numbers = np.zeros(8)
        self._numbers[7] = 1e9 if self._dtype == np.float32 else 1e60

    def holds(self, coefs: list, intercepts: list) -> bool:
        """Whether arrays are the views themselves, not others that a user has assigned."""
        return (
            len(coefs) == len(self.coefs)
            and len(intercepts) == len(self.intercepts)
            and all(map(operator.is_, coefs, self.coefs))
            and all(map(operator.is_, intercepts, self.intercepts))
        )

    def predict(self, x: ArrayLike) -> NDArray[np.floating]:
        """Predict one sample.

        Parameters
        ----------
        x : array-like of shape (n_features,)
            The sample.

        Returns
        -------
        prediction : ndarray of shape (n_outputs,)
            The network's outputs.

        Raises
        ------
        ValueError
            If x has another shape or is not finite.
        """
        if self._plan is None:
            self._prepare()
        x = self._sample(x, self._n_features, "x")
        prediction = np.empty(self._n_outputs, self._dtype)
        problem = self._kernels.predict_one(self._plan, x, prediction)
        if problem == self._kernels.NOT_FINITE:
            _refuse_not_finite(x, "x")
        elif problem == self._kernels.OVERFLOW:
            warnings.warn(
                "The prediction overflows to infinity or NaN: x is far outside of what the network "
                "was trained on. Scale it as in training.",
                RuntimeWarning,
                stacklevel=3,
            )
        return prediction

    def learn(self, x: ArrayLike, y: ArrayLike) -> float:
        """Make one online update; `start_learning` comes first.

        Parameters
        ----------
        x : array-like of shape (n_features,)
            The sample.
        y : array-like of shape (n_outputs,), or a number
            Its target.

        Returns
        -------
        loss : float
            The sample's loss before the update.

        Raises
        ------
        ValueError
            If x or y has another shape or is not finite, or training has diverged. Nothing has
            changed then.
        """
        x = self._sample(x, self._n_features, "x")
        y = self._sample(y, 1 if self.repeats_target else self._n_outputs, "y")
        if self.repeats_target:
            y = np.repeat(y, self._n_outputs)
        if not self._loss.takes_zero:  # the kernels' loss of a target of 0 is finite
            refuse_targets(self._loss, y)
        loss = self._kernels.learn_one(self._plan, x, y, self._numbers)
        if loss == -1:
            loss = self._learn_with_care(x, y)
        if loss - loss != 0:
            _refuse_not_finite(x, "x")
            _refuse_not_finite(y, "y")
            refuse_targets(self._loss, y)
            raise ValueError(
                "Training diverged: the loss of this sample is NaN or infinite. Its update was not "
                "made, but those before have made the weights too large. Fit anew with a smaller "
                "learning_rate_init, and scale x and y."
            )
        return loss

    def _learn_with_care(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
        """Make an update that may overflow; if it does, undo it and return NaN."""
        changed = (self.padded, self._workspace.first, self._workspace.second, self._numbers)
        before = [array.copy() for array in changed]
        limit, self._numbers[7] = self._numbers[7], np.inf
        loss = self._kernels.learn_one(self._plan, x, y, self._numbers)
        self._numbers[7] = limit
        if all(np.isfinite(array).all() for array in changed):
            return loss
        for array, old in zip(changed, before, strict=True):
            array[...] = old
        return np.nan

    def start_learning(self, rule: Rule, alpha: float, moments: Moments) -> None:
        """Choose the rule of the updates to come, and the moments that it goes on from.

        Parameters
        ----------
        rule : Rule
            The update rule.
        alpha : float
            Strength of the weight decay.
        moments : Moments
            What the rule remembers.
        """
        if self._plan is None:
            self._prepare()
        pad(self.network, moments.first, self._workspace.first)
        pad(self.network, moments.second, self._workspace.second)
        self._numbers[:7] = *rule, alpha, moments.n_steps

    def set_rate(self, learning_rate: float) -> None:
        """Change the learning rate."""
        self._numbers[1] = learning_rate

    def moments(self) -> Moments:
        """Copy what the rule remembers."""
        first, second = (
            unpad(self.network, padded)
            for padded in (self._workspace.first, self._workspace.second)
        )
        return Moments(first, second, int(self._numbers[6]))

    def _prepare(self) -> None:
        kernels = load_kernels()
        if not kernels.IS_COMPILED:
            raise RuntimeError(
                "predict_one and learn_one exist compiled only. Unset NUMBA_DISABLE_JIT, or "
                "take predict and partial_fit."
            )
        layout = layout_of(self.network, self._dtype)  # it may wait for another process
        with LOADING:
            if self._plan is not None:
                return
            self._kernels = kernels
            # The plan holds addresses: layout and workspace are kept as long as it is.
            self._layout = layout
            self._workspace = kernels.make_workspace(
                self._layout, self._dtype, parameters=self.padded
            )
            self._plan = kernels.write_plan(kernels.Net(self._layout, self._workspace))

    def _sample(self, numbers: ArrayLike, size: int, name: str) -> NDArray[np.floating]:
        if type(numbers) is float and abs(numbers) < 1e38:  # the usual target
            array = np.array([numbers], self._dtype)
        else:
            array = np.asarray(numbers)
        if array.dtype != self._dtype:
            with np.errstate(over="ignore"):  # what overflows is found to be infinite
                array = array.astype(self._dtype)
        if array.ndim == 0:
            array = array.reshape(1)
        if not array.flags.carray:  # strided, read-only, unaligned: each another kernel to compile
            array = np.array(array, order="C")
        if array.shape != (size,):
            raise ValueError(
                f"{name} has shape {np.shape(numbers)}, but one sample of this network is "
                f"({size},). For a table of samples there are predict and partial_fit."
            )
        return array


def _refuse_not_finite(array: NDArray[np.floating], name: str) -> None:
    wrong = np.flatnonzero(~np.isfinite(array))
    if len(wrong):
        raise ValueError(
            f"{name}[{wrong[0]}] is {array[wrong[0]]}, but only finite numbers can be used. Impute "
            "or replace it first."
        )
