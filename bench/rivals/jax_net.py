"""JAX: a whole epoch, jitted, with ``lax.scan`` over samples or mini-batches; float32."""

import importlib.util
from functools import partial

import numpy as np

from bench.cases import RATE, initial_parameters

NAME = "JAX"


def missing():
    return None if importlib.util.find_spec("jax") else "jax is not installed"


def fits(case, dtype):
    whole = case.n_rows % case.batch_size == 0 or case.n_rows > case.batch_size
    plain = case.output_activation is None and case.update in ("plain", "adam")
    return np.dtype(dtype) == np.float32 and whole and plain


def _net(case):
    """Make the function of the net up to its output layer's net inputs."""
    import jax
    import jax.numpy as jnp

    activations = {"tanh": jnp.tanh, "relu": jax.nn.relu, "logistic": jax.nn.sigmoid}
    activate = activations[case.activation]

    def net(layers, x):
        weights, biases = layers
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            x = activate(x @ w + b)
        return x @ weights[-1] + biases[-1]

    return net


def _layers(case, dtype):
    import jax
    import jax.numpy as jnp

    return jax.tree.map(jnp.array, case.network.unpack(initial_parameters(case, dtype)))


def epochs(case, X, y):
    import jax
    import jax.numpy as jnp
    from jax import lax

    loss_of = {
        "squared_error": lambda z, y: 0.5 * ((z - y) ** 2),
        "binary_cross_entropy": lambda z, y: jax.nn.softplus(z) - y * z,
        "cross_entropy": lambda z, y: -y * jax.nn.log_softmax(z),
    }[case.loss]
    net = _net(case)

    def loss(layers, x, target):
        weights, _ = layers
        value = loss_of(net(layers, x), target).sum() / len(x)
        if case.alpha:
            value += 0.5 * case.alpha / len(x) * sum((w * w).sum() for w in weights)
        return value

    def step(state, batch):
        layers, first, second, t = state
        value, gradient = jax.value_and_grad(loss)(layers, *batch)
        if case.update == "plain":
            layers = jax.tree.map(lambda p, g: p - RATE * g, layers, gradient)
            return (layers, first, second, t), value
        t += 1
        rate = RATE * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        first = jax.tree.map(lambda u, g: 0.9 * u + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        layers = jax.tree.map(
            lambda p, u, v: p - rate * u / (jnp.sqrt(v) + 1e-8), layers, first, second
        )
        return (layers, first, second, t), value

    n_whole = len(X) // case.batch_size * case.batch_size

    @partial(jax.jit, donate_argnums=0)
    def epoch(state, X, y):
        batches = [a[:n_whole].reshape(-1, case.batch_size, a.shape[1]) for a in (X, y)]
        state, losses = lax.scan(step, state, tuple(batches))
        if n_whole < len(X):
            state, _ = step(state, (X[n_whole:], y[n_whole:]))
        return state, losses.mean()

    with jax.default_device(jax.devices("cpu")[0]):
        layers = _layers(case, X.dtype)
        zeros = jax.tree.map(jnp.zeros_like, layers)
        state = [(layers, zeros, jax.tree.map(jnp.zeros_like, layers), jnp.float32(0))]
        X, y = jnp.array(X), jnp.array(y)

    def run():
        state[0], value = epoch(state[0], X, y)
        return float(value)

    def parameters():
        weights, biases = state[0][0]
        return case.network.pack(
            [*map(np.asarray, weights)], [*map(np.asarray, biases)], np.float32
        )

    return run, parameters


def prediction(case, X):
    import jax
    import jax.numpy as jnp

    outputs = {
        "squared_error": lambda z: z,
        "binary_cross_entropy": jax.nn.sigmoid,
        "cross_entropy": jax.nn.softmax,
    }[case.loss]
    net = _net(case)
    with jax.default_device(jax.devices("cpu")[0]):
        layers, X = _layers(case, X.dtype), jnp.array(X)
    predict = jax.jit(lambda layers, X: outputs(net(layers, X)))
    return lambda: np.asarray(predict(layers, X))
