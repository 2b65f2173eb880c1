"""What a network is: its layers, and where each weight lives in one flat parameter vector.

All parameters of a network are ONE vector: first the weight matrices, layer after layer, each
(fan_in, fan_out) and row-major, then the bias vectors. A gradient, a velocity, Adam's moments have
the same shape, so an update is one pass over vectors; the weight matrices, which alone are
penalised, are one leading slice. ``coefs_`` and ``intercepts_`` are views of it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastbp.machine.lazy import lazy
from fastbp.model.activations import (
    ACTIVATIONS,
    OUTPUT_ACTIVATIONS,
    SOFTMAX,
    Activation,
    activation_of,
)
from fastbp.model.data import Data
from fastbp.model.losses import LOSSES, Loss, loss_of, refuse_targets
from fastbp.model.own_records import check_own

__all__ = ["Network"]

_MAX_PARAMETERS = 2**31 - 1


@dataclass(frozen=True)
class Network:
    """A multilayer perceptron without its weights.

    Parameters
    ----------
    layer_sizes : tuple of int
        Units of the input, of each hidden layer (there may be none), and of the output.
    activation : str, Activation or tuple of them, default="relu"
        The hidden layers' activation, or one for each.
    loss : str or Loss, default="squared_error"
        The loss.
    output_activation : str or Activation, default=None
        The output layer's activation; None takes the one that belongs to the loss.
    loss_parameters : tuple of float, default=()
        The loss's own number for each output, or one for all; empty where it has none.

    Raises
    ------
    ValueError
        If ``layer_sizes`` are not two or more whole numbers of 1 or more, a name is not one of the
        registries, the loss needs positive predictions and the output activation has others, it
        has not the parameters it needs, or there are more parameters than a 32-bit integer counts.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import Network
    >>> network = Network((3, 5, 1), activation="tanh")
    >>> network.n_parameters  # 3 * 5 + 5 * 1 weights, 5 + 1 biases
    26
    >>> parameters = network.initial_parameters(np.random.RandomState(0), np.float64)
    >>> coefs, intercepts = network.unpack(parameters)
    >>> [coef.shape for coef in coefs]
    [(3, 5), (5, 1)]
    """

    layer_sizes: tuple[int, ...]
    activation: str | Activation | tuple[str | Activation, ...] = "relu"
    loss: str | Loss = "squared_error"
    output_activation: str | Activation | None = None
    loss_parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # The dataclass is frozen, so that it can be compared and hashed: lists become tuples here.
        object.__setattr__(self, "layer_sizes", _checked_sizes(self.layer_sizes))
        object.__setattr__(self, "loss_parameters", tuple(map(float, self.loss_parameters)))
        if isinstance(self.activation, list | tuple):
            object.__setattr__(self, "activation", tuple(self.activation))
            self._check_one_a_layer(self.activation)
        for given in self._hidden_activations:
            _check_record("activation", given, Activation, ACTIVATIONS)
        _check_record("loss", self.loss, Loss, LOSSES)
        output = self.output_activation
        if output is None:
            output = self.loss_record.output_activation
        _check_record("output_activation", output, Activation, OUTPUT_ACTIVATIONS)
        self._check_loss_parameters()
        last = activation_of(output)
        if (self.loss_record.is_for_classes or last is SOFTMAX) and not self.is_canonical:
            raise ValueError(
                f"output_activation={last.name!r} does not go with loss={self.loss_record.name!r}. "
                f"Take None, which means {self.loss_record.output_activation!r}."
            )
        if self.loss_record.positive and not last.positive:
            fitting = [name for name, record in ACTIVATIONS.items() if record.positive]
            raise ValueError(
                f"loss={self.loss_record.name!r} needs predictions above 0, but output_activation="
                f"{last.name!r} has others. Take None (which means "
                f"{self.loss_record.output_activation!r}) or one of {fitting}."
            )
        if self.n_parameters > _MAX_PARAMETERS:
            raise ValueError(
                f"hidden_layer_sizes={self.layer_sizes[1:-1]} with {self.layer_sizes[0]} features "
                f"and {self.layer_sizes[-1]} outputs makes {self.n_parameters} parameters, more "
                f"than the {_MAX_PARAMETERS} that can be trained. Take smaller layers."
            )

    def _check_loss_parameters(self) -> None:
        given, loss, n_outputs = self.loss_parameters, self.loss_record, self.layer_sizes[-1]
        name, (low, high) = loss.parameter, loss.parameter_limits
        if len(given) not in ({0} if name is None else {1, n_outputs}):
            wanted = "no parameter" if name is None else f"{name!r}, 1 or {n_outputs} numbers"
            raise ValueError(f"loss_parameters={given}, but loss={loss.name!r} takes {wanted}.")
        if not np.isfinite(given).all():
            raise ValueError(f"loss_parameters={given} are not all finite numbers.")
        if not all(low < number < high for number in given):
            limits = f"above {low:g}" if high == np.inf else f"between {low:g} and {high:g}"
            raise ValueError(
                f"loss_parameters={given}, but {name!r} of loss={loss.name!r} lies {limits}."
            )

    def _check_one_a_layer(self, given: tuple) -> None:
        n_hidden = len(self.layer_sizes) - 2
        if len(given) != n_hidden:
            raise ValueError(
                f"activation={given} names {len(given)} activations, but there are {n_hidden} "
                "hidden layers. Give one for each, or a single one for all."
            )

    @property
    def _hidden_activations(self) -> tuple[str | Activation, ...]:
        """The hidden layers' activations, one that is for all of them once."""
        return self.activation if isinstance(self.activation, tuple) else (self.activation,)

    @property
    def loss_record(self) -> Loss:
        """The loss."""
        return loss_of(self.loss)

    @property
    def last_activation(self) -> str | Activation:
        """The output layer's activation, by name or a user's own."""
        return self.output_activation or self.loss_record.output_activation

    @property
    def is_canonical(self) -> bool:
        """Whether d loss / d raw prediction is ``prediction - y``."""
        return activation_of(self.last_activation).name == self.loss_record.canonical

    @property
    def loss_parameter_of_outputs(self) -> NDArray[np.float64]:
        """The loss's own number for each output, 0 where it has none: (n_outputs,)."""
        return np.broadcast_to(self.loss_parameters or 0.0, self.layer_sizes[-1]).copy()

    def check_inputs(self, data: Data) -> None:
        """Refuse data with another number of columns than it has inputs, which kernels rely on.

        Raises
        ------
        ValueError
            If that is so.
        """
        if data.X.shape[1] != self.layer_sizes[0]:
            raise ValueError(
                f"The data have {data.X.shape[1]} columns, but the network of layers "
                f"{self.layer_sizes} has {self.layer_sizes[0]} inputs. If they belong to a fit "
                "that is going on, predict after it, or with a copy of the estimator."
            )

    def check_data(self, data: Data, alpha: float) -> None:
        """Refuse data and a weight decay that it cannot be trained with.

        Raises
        ------
        ValueError
            If the data have not as many columns as the network has inputs and outputs, if the loss
            does not take one of the targets, or if alpha is negative or not finite.
        """
        n_inputs, *_, n_outputs = self.layer_sizes
        given = data.X.shape[1], data.y.shape[1]
        if given != (n_inputs, n_outputs):
            raise ValueError(
                f"The data have {given[0]} inputs and {given[1]} outputs, but the network of "
                f"layers {self.layer_sizes} is for {n_inputs} and {n_outputs}."
            )
        refuse_targets(self.loss_record, data.y)
        if not 0 <= alpha < np.inf:
            raise ValueError(f"alpha is {alpha}, but a weight decay is a finite number, 0 or more.")

    def vector(self, parameters: ArrayLike, dtype: DTypeLike) -> NDArray[np.floating]:
        """Give a parameter vector as kernels take it: the same array where that is one.

        Parameters
        ----------
        parameters : array-like of shape (n_parameters,)
            The parameter vector.
        dtype : dtype
            float64 or float32.

        Returns
        -------
        parameters : ndarray of shape (n_parameters,)
            The same numbers, contiguous and writable.

        Raises
        ------
        ValueError
            If it has another shape.
        """
        vector = np.require(parameters, dtype=dtype, requirements=["C", "A", "W", "E"])
        if vector.shape != (self.n_parameters,):
            raise ValueError(
                f"parameters has shape {vector.shape}; a network of layers {self.layer_sizes} has "
                f"({self.n_parameters},)."
            )
        return vector

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(fan_in, fan_out) of each layer."""
        return list(pairwise(self.layer_sizes))

    @lazy
    def n_weights(self) -> int:
        """Count the weights, biases not among them."""
        return sum(fan_in * fan_out for fan_in, fan_out in self.shapes)

    @lazy
    def n_parameters(self) -> int:
        """Count weights and biases."""
        return self.n_weights + sum(self.layer_sizes[1:])

    @property
    def activations(self) -> list[Activation]:
        """Each layer's activation."""
        hidden, n_hidden = self._hidden_activations, len(self.layer_sizes) - 2
        of_layers = hidden if isinstance(self.activation, tuple) else hidden * n_hidden
        return [activation_of(given) for given in (*of_layers, self.last_activation)]

    @lazy
    def starts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where in the parameter vector each layer's weights and biases begin."""
        n_weights = [fan_in * fan_out for fan_in, fan_out in self.shapes]
        return (
            np.cumsum([0, *n_weights[:-1]], dtype=np.int64),
            np.cumsum([self.n_weights, *self.layer_sizes[1:-1]], dtype=np.int64),
        )

    def unpack(
        self, parameters: NDArray[np.floating]
    ) -> tuple[list[NDArray[np.floating]], list[NDArray[np.floating]]]:
        """Weight matrices and bias vectors as views of a parameter vector.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector.

        Returns
        -------
        coefs : list of ndarray of shape (fan_in, fan_out)
            The weight matrices.
        intercepts : list of ndarray of shape (fan_out,)
            The bias vectors.
        """
        slices = _slices(self)
        coefs = [parameters[weights].reshape(shape) for shape, weights, _ in slices]
        return coefs, [parameters[biases] for _, _, biases in slices]

    def pack(
        self,
        coefs: list[NDArray[np.floating]],
        intercepts: list[NDArray[np.floating]],
        dtype: np.dtype,
    ) -> NDArray[np.floating]:
        """Gather weight matrices and bias vectors in a new parameter vector.

        Parameters
        ----------
        coefs : list of ndarray of shape (fan_in, fan_out)
            The weight matrices.
        intercepts : list of ndarray of shape (fan_out,)
            The bias vectors.
        dtype : dtype
            float64 or float32.

        Returns
        -------
        parameters : ndarray of shape (n_parameters,)
            A vector of its own, contiguous and writable.

        Raises
        ------
        ValueError
            If an array has another shape than the network's, or holds NaN or infinity.
        """
        parameters = np.empty(self.n_parameters, dtype=dtype)
        places = self.unpack(parameters)
        for name, arrays, views in zip(
            ("coefs_", "intercepts_"), (coefs, intercepts), places, strict=True
        ):
            if len(arrays) != len(views):
                raise ValueError(f"{name} holds {len(arrays)} arrays, the network {len(views)}.")
            for i, (array, view) in enumerate(zip(arrays, views, strict=True)):
                if np.shape(array) != view.shape:
                    raise ValueError(
                        f"{name}[{i}] has shape {np.shape(array)}; the network "
                        f"{self.layer_sizes} needs {view.shape}. Assign an array of that shape, "
                        "or fit again."
                    )
                view[...] = array
        if not np.isfinite(parameters).all():
            self._refuse_not_finite(places)
        return parameters

    @staticmethod
    def _refuse_not_finite(places: tuple[list, list]) -> None:
        for name, views in zip(("coefs_", "intercepts_"), places, strict=True):
            for i, view in enumerate(views):
                if not np.isfinite(view).all():
                    raise ValueError(
                        f"{name}[{i}] holds NaN or infinity. Assign finite numbers, or fit again."
                    )

    def initial_parameters(
        self, random_state: np.random.RandomState, dtype: np.dtype
    ) -> NDArray[np.floating]:
        """Random parameters after Glorot & Bengio (2010), drawn as scikit-learn draws them.

        Uniform on [-b, b], b = sqrt(factor / (fan_in + fan_out)), where the factor is the hidden
        activation's, for the output layer that of the layer below; layer by layer, weights before
        biases.

        Parameters
        ----------
        random_state : RandomState
            Where the numbers come from; it advances.
        dtype : dtype
            float64 or float32. The draws are made in float64.

        Returns
        -------
        parameters : ndarray of shape (n_parameters,)
            The parameter vector.
        """
        parameters = np.empty(self.n_parameters, dtype=dtype)
        hidden = [activation_of(given).initial_factor for given in self._hidden_activations]
        for layer, (coef, intercept) in enumerate(zip(*self.unpack(parameters), strict=True)):
            factor = hidden[min(layer, len(hidden) - 1)] if hidden else 6.0
            bound = np.sqrt(factor / sum(coef.shape))
            coef[...] = random_state.uniform(-bound, bound, coef.shape)
            intercept[...] = random_state.uniform(-bound, bound, intercept.shape)
        return parameters


@lru_cache(maxsize=64)
def _slices(network: Network) -> list[tuple[tuple[int, int], slice, slice]]:
    """Each layer's shape, and where in the parameter vector its weights and biases are."""
    starts = zip(*(each.tolist() for each in network.starts), strict=True)
    return [
        (shape, slice(w, w + shape[0] * shape[1]), slice(b, b + shape[1]))
        for shape, (w, b) in zip(network.shapes, starts, strict=True)
    ]


def _checked_sizes(layer_sizes: Iterable[int]) -> tuple[int, ...]:
    sizes = tuple(layer_sizes)
    if len(sizes) < 2 or not all(isinstance(n, Integral) and n >= 1 for n in sizes):
        raise ValueError(
            f"layer_sizes={sizes}, but they are two or more whole numbers of 1 or more: inputs, "
            "units of each hidden layer, outputs."
        )
    return tuple(map(int, sizes))


def _check_record(parameter: str, given: Any, kind: type, registry: Mapping[str, Any]) -> None:
    if isinstance(given, Activation | Loss) and isinstance(given, kind):
        check_own(given)
    elif not (isinstance(given, str) and given in registry):
        raise ValueError(
            f"{parameter}={given!r} is not one of {list(registry)}, nor a fastbp.{kind.__name__}."
        )
