"""A fitted estimator as all writers read it: layers, and what the outputs mean."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.model.activations import SOFTMAX, Activation
from fastbp.model.network import Network

__all__ = ["FittedNetwork", "Layer"]


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes
    ----------
    weights : ndarray of shape (fan_in, fan_out)
        The weights, C-ordered.
    biases : ndarray of shape (fan_out,)
        The biases.
    activation : Activation
        The activation.
    """

    weights: NDArray[np.floating]
    biases: NDArray[np.floating]
    activation: Activation

    @property
    def is_softmax(self) -> bool:
        """Whether the activation looks at all units of the layer."""
        return self.activation is SOFTMAX


@dataclass(frozen=True)
class FittedNetwork:
    """A fitted estimator, copied.

    Attributes
    ----------
    layers : list of Layer
        From the first hidden layer to the output. A classifier of two classes has an output for
        both, the net inputs -z and z, so that its outputs are the probabilities.
    mean, scale : ndarray of shape (n_outputs,) or None
        What brings outputs to the units of the targets, where they are in others.
    classes : ndarray of shape (n_outputs,) or None
        A classifier's label for each output.
    is_multilabel : bool
        Whether a row may have several labels, or none.
    """

    layers: list[Layer]
    mean: NDArray[np.floating] | None = None
    scale: NDArray[np.floating] | None = None
    classes: NDArray | None = None
    is_multilabel: bool = False

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32, of all numbers but the classes."""
        return self.layers[0].weights.dtype

    @property
    def n_features(self) -> int:
        """Number of inputs."""
        return len(self.layers[0].weights)

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return len(self.layers[-1].biases)

    @property
    def layer_sizes(self) -> list[int]:
        """Units of the input, of each hidden layer, and of the output."""
        return [self.n_features, *(len(layer.biases) for layer in self.layers)]

    def labels(self) -> list:
        """Give the classes as plain values.

        Raises
        ------
        ValueError
            If they are neither text nor numbers.
        """
        labels = [] if self.classes is None else self.classes.tolist()
        if not all(isinstance(label, str | int | float) for label in labels):
            raise ValueError(
                f"The classes are of type {type(labels[0]).__name__}, but only text and numbers "
                "can be exported. Fit with such labels, str(label) for instance."
            )
        return labels

    @classmethod
    def of(cls, model: Any, function: str) -> "FittedNetwork":
        """Copy what is to be exported.

        Parameters
        ----------
        model : BackpropRegressor or BackpropClassifier
            The fitted estimator.
        function : str
            Who asks, for an error to say.

        Raises
        ------
        ValueError
            If it is something else, or not fitted, or its weights do not fit or are not finite.
        """
        if not hasattr(type(model), "predict_one"):
            raise ValueError(
                f"{function} takes a fitted BackpropRegressor or BackpropClassifier, not "
                f"{type(model).__name__}. Of a pipeline give the last step, model[-1], of a search "
                "best_estimator_; to_onnx takes them whole, if they are fitted."
            )
        if not hasattr(model, "coefs_"):
            raise ValueError(
                f"{function} needs a fitted model, and this {type(model).__name__} is not: call "
                "fit first."
            )
        if len(model.members_) > 1:
            raise ValueError(
                f"{function} takes one network, and this {type(model).__name__} is a committee of "
                f"{len(model.members_)} (keep_all=True). Fit with keep_all=False."
            )
        network: Network = model._network
        layers = [
            Layer(weights, biases, activation)
            for weights, biases, activation in zip(
                *network.unpack(model._parameters()), network.activations, strict=True
            )
        ]
        if network.loss_record.is_for_classes:
            return cls._of_classes(layers, model.classes_)
        if not hasattr(model, "target_mean_"):
            return cls(layers)
        shape, dtype = network.layer_sizes[-1], layers[0].weights.dtype
        mean, scale = (
            np.broadcast_to(number, shape).astype(dtype)
            for number in (model.target_mean_, model.target_scale_)
        )
        return cls(layers, mean, scale)

    @classmethod
    def _of_classes(cls, layers: list[Layer], classes: NDArray) -> "FittedNetwork":
        last = layers[-1]
        if len(last.biases) > 1:
            return cls(layers, classes=classes, is_multilabel=not last.is_softmax)
        both = Layer(
            np.hstack([-last.weights, last.weights]),
            np.hstack([-last.biases, last.biases]),
            last.activation,
        )
        return cls([*layers[:-1], both], classes=np.resize(classes, 2))  # of one class it is both
