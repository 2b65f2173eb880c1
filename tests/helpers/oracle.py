"""The judge: textbook backpropagation in NumPy, a sample at a time, no tricks.

Written from the textbook and not from the package: Rumelhart, Hinton & Williams (1986), equations
in the form of Bishop, Pattern Recognition and Machine Learning (2006), section 5.3. It shares no
line with fastbp; activations and losses are written here once more.
"""

import math

import numpy as np


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _normal(z):
    """Integral of the normal density up to z."""
    return np.vectorize(math.erfc, otypes=[float])(-np.asarray(z) / math.sqrt(2)) / 2


# name: (f(z), f'(z))
ACTIVATIONS = {
    "identity": (lambda z: z, lambda z: np.ones_like(z)),
    "logistic": (_sigmoid, lambda z: _sigmoid(z) * (1 - _sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "softsign": (lambda z: z / (1 + np.abs(z)), lambda z: 1 / (1 + np.abs(z)) ** 2),
    "softplus": (lambda z: np.logaddexp(0, z), _sigmoid),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z: np.where(z > 0, 1, 0.01)),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.where(z > 0, 1, np.exp(np.minimum(z, 0))),
    ),
    "silu": (
        lambda z: z * _sigmoid(z),
        lambda z: _sigmoid(z) + z * _sigmoid(z) * (1 - _sigmoid(z)),
    ),
    "gelu": (
        lambda z: z * _normal(z),
        lambda z: _normal(z) + z * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi),
    ),
    "mish": (
        lambda z: z * np.tanh(np.logaddexp(0, z)),
        lambda z: (
            np.tanh(np.logaddexp(0, z))
            + z * _sigmoid(z) / np.cosh(np.minimum(np.logaddexp(0, z), 300)) ** 2
        ),
    ),
    "sin": (np.sin, np.cos),
    "exp": (np.exp, np.exp),
}


def _poisson(prediction, y, _):
    return prediction - y + (y * math.log(y / prediction) if y > 0 else 0.0)


# name: (loss of one output, its derivative with respect to the prediction); of a prediction, a
# target, and the loss's own number
LOSSES = {
    "squared_error": (lambda p, y, _: (p - y) ** 2 / 2, lambda p, y, _: p - y),
    "binary_cross_entropy": (
        lambda p, y, _: -y * math.log(p) - (1 - y) * math.log(1 - p),
        lambda p, y, _: (1 - y) / (1 - p) - y / p,
    ),
    "cross_entropy": (lambda p, y, _: -y * math.log(p), lambda p, y, _: -y / p),
    "absolute_error": (lambda p, y, _: abs(p - y), lambda p, y, _: float(np.sign(p - y))),
    "huber": (
        lambda p, y, d: (p - y) ** 2 / 2 if abs(p - y) <= d else d * (abs(p - y) - d / 2),
        lambda p, y, d: min(max(p - y, -d), d),
    ),
    "quantile": (
        lambda p, y, q: max(q * (y - p), (q - 1) * (y - p)),
        lambda p, y, q: 0.0 if p == y else (1 - q if p > y else -q),
    ),
    "log_cosh": (lambda p, y, _: math.log(math.cosh(p - y)), lambda p, y, _: math.tanh(p - y)),
    "gamma": (
        lambda p, y, _: math.log(p / y) + y / p - 1,
        lambda p, y, _: 1 / p - y / p**2,
    ),
    "poisson": (_poisson, lambda p, y, _: 1 - y / p),
}


def _softmax(z):
    return np.exp(z) / np.exp(z).sum()


def _output_error(z, error, output_activation):
    """D loss / dz, from d loss / d prediction."""
    if output_activation == "softmax":  # whose outputs depend on all net inputs
        p = _softmax(z)
        return (np.diag(p) - np.outer(p, p)) @ error
    return error * ACTIVATIONS[output_activation][1](z)


def forward(coefs, intercepts, x, activation, output_activation):
    """Net inputs and outputs of every layer for one sample; outputs[0] is the sample itself."""
    nets, outputs = [], [np.asarray(x, dtype=np.float64)]
    for layer, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
        name = output_activation if layer == len(coefs) - 1 else activation
        nets.append(outputs[-1] @ W + b)
        value = _softmax if name == "softmax" else ACTIVATIONS[name][0]
        outputs.append(value(nets[-1]))
    return nets, outputs


def input_gradient(coefs, intercepts, x, activation, output_activation):
    """Derivatives of one sample's outputs by its inputs, forward layer by layer, not backward."""
    nets, outputs = forward(coefs, intercepts, x, activation, output_activation)
    gradient = np.eye(len(x))
    for layer, W in enumerate(coefs):
        name = output_activation if layer == len(coefs) - 1 else activation
        gradient = W.T @ gradient
        if name == "softmax":
            p = outputs[-1]
            gradient = (np.diag(p) - np.outer(p, p)) @ gradient
        else:
            gradient = ACTIVATIONS[name][1](nets[layer])[:, np.newaxis] * gradient
    return gradient


def backpropagate(
    coefs, intercepts, x, y, activation, output_activation, loss, loss_parameters=None
):
    """Loss of one sample and its gradients with respect to weights and biases."""
    own = np.zeros(len(y)) if loss_parameters is None else loss_parameters
    nets, outputs = forward(coefs, intercepts, x, activation, output_activation)
    value, derivative = LOSSES[loss]
    prediction = outputs[-1]
    total = sum(value(*each) for each in zip(prediction, y, own, strict=True))
    error = np.array([derivative(*each) for each in zip(prediction, y, own, strict=True)])
    delta = _output_error(nets[-1], error, output_activation)
    coef_gradients, intercept_gradients = [], []
    for layer in reversed(range(len(coefs))):
        coef_gradients.insert(0, np.outer(outputs[layer], delta))
        intercept_gradients.insert(0, delta)
        if layer > 0:
            delta = (coefs[layer] @ delta) * ACTIVATIONS[activation][1](nets[layer - 1])
    return total, coef_gradients, intercept_gradients


def loss_and_gradient(
    coefs,
    intercepts,
    X,
    y,
    sample_weight,
    alpha,
    activation,
    output_activation,
    loss,
    loss_parameters=None,
):
    """Weighted mean over samples, plus weight decay: the objective and its gradients."""
    weights = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    total = 0.0
    coef_sums = [np.zeros(np.shape(W)) for W in coefs]
    intercept_sums = [np.zeros(np.shape(b)) for b in intercepts]
    for x, target, w in zip(X, y, weights, strict=True):
        value, coef_gradients, intercept_gradients = backpropagate(
            coefs, intercepts, x, target, activation, output_activation, loss, loss_parameters
        )
        total += w * value
        for layer in range(len(coefs)):
            coef_sums[layer] += w * coef_gradients[layer]
            intercept_sums[layer] += w * intercept_gradients[layer]
    penalty = alpha / 2 * sum((W**2).sum() for W in coefs)
    return (
        (total + penalty) / weights.sum(),
        [
            (gradient + alpha * W) / weights.sum()
            for gradient, W in zip(coef_sums, coefs, strict=True)
        ],
        [gradient / weights.sum() for gradient in intercept_sums],
    )


class Optimiser:
    """SGD with momentum, Nesterov's momentum, or Adam, from the papers, array by array."""

    def __init__(self, kind, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
        self.kind, self.learning_rate = kind, learning_rate
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.t, self.first, self.second = 0, {}, {}

    def step(self, arrays, gradients):
        self.t += 1
        for i, (p, g) in enumerate(zip(arrays, gradients, strict=True)):
            u, v = self.first.get(i, np.zeros_like(p)), self.second.get(i, np.zeros_like(p))
            if self.kind == "plain":
                p -= self.learning_rate * g
            elif self.kind == "momentum":
                u = self.beta_1 * u - self.learning_rate * g
                p += u
            elif self.kind == "nesterov":
                u = self.beta_1 * u - self.learning_rate * g
                p += self.beta_1 * u - self.learning_rate * g
            else:
                u = self.beta_1 * u + (1 - self.beta_1) * g
                v = self.beta_2 * v + (1 - self.beta_2) * g**2
                u_hat = u / (1 - self.beta_1**self.t)
                v_hat = v / (1 - self.beta_2**self.t)
                # epsilon as in the paper's efficient order: added to sqrt(v), not to sqrt(v_hat).
                root = np.sqrt(v_hat) + self.epsilon / math.sqrt(1 - self.beta_2**self.t)
                p -= self.learning_rate * u_hat / root
            self.first[i], self.second[i] = u, v


def epoch(
    coefs,
    intercepts,
    X,
    y,
    sample_weight,
    alpha,
    activation,
    output_activation,
    loss,
    order,
    batch_size,
    optimiser,
    loss_parameters=None,
):
    """Visit the rows in an order, in batches, with a step after each; arrays change in place.

    A batch of one row is scaled by its weight over the mean weight; one of weight 0 is skipped.
    """
    mean_weight = 1.0 if sample_weight is None else np.mean(sample_weight)
    losses, rows = 0.0, 0
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        weights = np.ones(len(batch)) if sample_weight is None else sample_weight[batch]
        if weights.sum() == 0:
            rows += len(batch) == 1
            continue
        value, coef_gradients, intercept_gradients = loss_and_gradient(
            coefs, intercepts, X[batch], y[batch], weights, alpha,
            activation, output_activation, loss, loss_parameters,
        )  # fmt: skip
        gradients = coef_gradients + intercept_gradients
        if len(batch) == 1:
            scale = weights[0] / mean_weight
            value, gradients = scale * value, [scale * g for g in gradients]
        optimiser.step(coefs + intercepts, gradients)
        losses += value * len(batch)
        rows += len(batch)
    return losses / rows
