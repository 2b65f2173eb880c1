"""Backpropagation in plain NumPy, written as fast as NumPy allows: the rival that is no straw man.

Every product is one BLAS call into a buffer that is there already, everything else an in-place
ufunc; an update is a few passes over one flat vector. One function serves online mode (batches of
one row), mini-batches and the full batch: for one row ``dot`` of a 1-row matrix is as fast as that
of a vector. The rows of an epoch are put in order once, so that batches are views.

Conventions are fastbp's: the flat vector of ``fastbp.Network.pack`` (all weights, then all
biases), the loss half the mean squared error, summed over outputs, plus alpha/2 |weights|^2 / rows.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np

BLOCK_ROWS = 512  # of a prediction: outputs of all layers stay in the cache


def _logistic(z):
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1
    np.reciprocal(z, out=z)


def _times_logistic_slope(delta, a, scratch):
    delta *= a
    np.subtract(1, a, out=scratch)
    delta *= scratch


def _times_tanh_slope(delta, a, scratch):
    np.multiply(a, a, out=scratch)
    np.subtract(1, scratch, out=scratch)
    delta *= scratch


def _times_relu_slope(delta, a, scratch):
    np.greater(a, 0, out=scratch)
    delta *= scratch


# name: (z <- f(z), delta <- delta * f'(z) from the output a)
ACTIVATIONS = {
    "identity": (lambda z: None, lambda delta, a, scratch: None),
    "logistic": (_logistic, _times_logistic_slope),
    "tanh": (lambda z: np.tanh(z, out=z), _times_tanh_slope),
    "relu": (lambda z: np.maximum(z, 0, out=z), _times_relu_slope),
}


class Layers(NamedTuple):
    """A flat vector of parameters, or of their gradient, and the views that are its layers."""

    flat: np.ndarray
    weights: np.ndarray
    coefs: list
    intercepts: list


class Buffers(NamedTuple):
    """For a number of rows: outputs of each layer, its error signals, and scratch."""

    outputs: list
    deltas: list
    scratch: list


@dataclass
class Net:
    """A network, its gradient and its moments: flat vectors, allocated once."""

    sizes: tuple
    activation: tuple
    alpha: float
    layers: Layers
    gradient: Layers
    first: np.ndarray
    second: np.ndarray
    spare: np.ndarray
    n_steps: int = 0
    buffers: dict = field(default_factory=dict)


def make_layers(flat, sizes):
    shapes = list(pairwise(sizes))
    lengths = [fan_in * fan_out for fan_in, fan_out in shapes]
    views = np.split(flat, np.cumsum([*lengths, *sizes[1:-1]]))
    coefs = [view.reshape(shape) for view, shape in zip(views, shapes, strict=False)]
    return Layers(flat, flat[: sum(lengths)], coefs, views[len(shapes) :])


def make_buffers(sizes, n, dtype):
    return Buffers(*([np.empty((n, size), dtype) for size in sizes[1:]] for _ in range(3)))


def make_net(sizes, parameters, activation="relu", alpha=0.0):
    """Make a net with a copy of the parameters and nothing in its moments."""
    flat = [np.zeros_like(parameters) for _ in range(4)]
    return Net(
        sizes,
        ACTIVATIONS[activation],
        alpha,
        make_layers(parameters.copy(), sizes),
        make_layers(flat[0], sizes),
        *flat[1:],
    )


def buffers_for(net, n):
    if n not in net.buffers:
        net.buffers[n] = make_buffers(net.sizes, n, net.first.dtype)
    return net.buffers[n]


def forward(net, X, outputs):
    activate, last = net.activation[0], outputs[-1]
    for coef, intercept, a in zip(net.layers.coefs, net.layers.intercepts, outputs, strict=True):
        X.dot(coef, out=a)
        a += intercept
        if a is not last:
            activate(a)
        X = a


def loss_and_gradient(net, X, y):
    """Loss of a batch; its gradient is left in ``net.gradient``."""
    n, weights, gradient = len(X), net.layers.weights, net.gradient
    outputs, deltas, scratch = buffers_for(net, n)
    forward(net, X, outputs)
    error = np.subtract(outputs[-1], y, out=deltas[-1]).ravel()
    loss = error.dot(error) + net.alpha * weights.dot(weights)
    error /= n
    for layer in range(len(outputs) - 1, -1, -1):
        x, delta = outputs[layer - 1] if layer else X, deltas[layer]
        x.T.dot(delta, out=gradient.coefs[layer])
        np.add.reduce(delta, axis=0, out=gradient.intercepts[layer])
        if layer:
            delta.dot(net.layers.coefs[layer].T, out=deltas[layer - 1])
            net.activation[1](deltas[layer - 1], x, scratch[layer - 1])
    if net.alpha:
        decay = net.spare[: weights.size]
        gradient.weights[...] += np.multiply(weights, net.alpha / n, out=decay)
    return loss / (2 * n)


def sgd_step(net, rate=0.001, momentum=0.0, nesterov=False):
    p, g, u = net.layers.flat, net.gradient.flat, net.first
    g *= rate
    if momentum:
        u *= momentum
        u -= g
        if nesterov:
            p += np.multiply(u, momentum, out=net.spare)
            p -= g
        else:
            p += u
    else:
        p -= g


def adam_step(net, rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    g, u, v, s = net.gradient.flat, net.first, net.second, net.spare
    net.n_steps += 1
    rate *= math.sqrt(1 - beta_2**net.n_steps) / (1 - beta_1**net.n_steps)
    u *= beta_1
    u += np.multiply(g, 1 - beta_1, out=s)
    v *= beta_2
    g *= g
    g *= 1 - beta_2
    v += g
    np.sqrt(v, out=s)
    s += epsilon
    np.divide(u, s, out=s)
    s *= rate
    np.subtract(net.layers.flat, s, out=net.layers.flat)


def epoch(net, X, y, batch_size, step):
    """Once through the rows as they stand; returns the mean of the batches' losses."""
    total = 0.0
    for start in range(0, len(X), batch_size):
        batch = X[start : start + batch_size]
        total += loss_and_gradient(net, batch, y[start : start + batch_size]) * len(batch)
        step(net)
    return total / len(X)


def predict(net, X):
    prediction = np.empty((len(X), net.sizes[-1]), X.dtype)
    for start in range(0, len(X), BLOCK_ROWS):
        block = X[start : start + BLOCK_ROWS]
        outputs = buffers_for(net, len(block)).outputs
        forward(net, block, outputs)
        prediction[start : start + len(block)] = outputs[-1]
    return prediction
