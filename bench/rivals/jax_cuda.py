"""JAX on the GPU: an epoch is one jitted ``lax.scan`` over batches; `tables/cuda.py` races it.

It imports JAX. Where there is no GPU, in a try-out, it runs on the CPU. On a GPU JAX's default
precision of a float32 product is not float32's: the row "default precision" has that, the other
asks for the highest. Adam is written as fastbp's is, with epsilon added to the root of the second
moment.
"""

import os
from contextlib import ExitStack

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others live on the device too

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from bench.cases import initial_parameters
from fastbp.machine.gpu_kernels import SIMULATED

__all__ = ["Scan", "ways"]

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}


def ways():
    """All ways to train with JAX that are timed."""
    if not SIMULATED and jax.default_backend() != "gpu":
        raise ImportError(f"jax {jax.__version__} runs on {jax.default_backend()}, not on a GPU")
    return [Scan("highest"), Scan("default")]


class Scan:
    """Functions compiled ahead of their calls, at one precision."""

    column, only_trains = "JAX", False

    def __init__(self, precision):
        self._precision, self.tf32 = precision, precision != "highest"
        self.name = self.column + ", default precision" * self.tf32

    def epochs(self, case, X, y, rule):
        """Give ``run()``, which goes once through the rows as they stand, and ``parameters()``."""
        step = _adam_step(case, rule)

        def epoch(state, X, y):
            batches = tuple(a.reshape(-1, case.batch_size, a.shape[1]) for a in (X, y))
            state, losses = lax.scan(step, state, batches)
            return state, losses.mean()

        with self._settings(X.dtype):
            layers = case.network.unpack(initial_parameters(case, X.dtype))
            zeros = jax.tree.map(np.zeros_like, layers)
            state = jax.tree.map(jnp.array, (layers, zeros, zeros, X.dtype.type(0)))
            X, y = jnp.array(X), jnp.array(y)
            compiled = jax.jit(epoch, donate_argnums=0).lower(state, X, y).compile()
        now = [state]

        def run():
            now[0], _ = jax.block_until_ready(compiled(now[0], X, y))

        def parameters():
            coefs, intercepts = jax.tree.map(np.asarray, now[0][0])
            return case.network.pack(coefs, intercepts, coefs[0].dtype)

        return run, parameters

    def gradient(self, case, X, y):
        """Give a function from parameters to the loss of all rows and its gradient."""
        run = self._compiled(case, jax.value_and_grad(_loss_of(case)), X, y)

        def loss_and_gradient(parameters):
            loss, gradient = run(parameters)
            return float(loss), np.asarray(gradient)

        return loss_and_gradient

    def prediction(self, case, X):
        """Give a function from parameters to the predictions of all rows."""
        run = self._compiled(case, _forward_of(case), X)
        return lambda parameters: np.asarray(run(parameters))

    def _compiled(self, case, function, *data):
        """Compile ``function(layers, *data)`` for a parameter vector, with data on the device."""
        dtype = data[0].dtype

        def of_vector(vector, *data):
            return function(case.network.unpack(vector), *data)

        def of_vector_with_slope(vector, *data):
            value, layers = function(case.network.unpack(vector), *data)
            return value, jnp.concatenate([a.ravel() for a in jax.tree.leaves(layers)])

        chosen = of_vector if len(data) == 1 else of_vector_with_slope
        with self._settings(dtype):
            data = [jnp.array(array) for array in data]
            vector = jnp.zeros(case.network.n_parameters, dtype)
            compiled = jax.jit(chosen).lower(vector, *data).compile()

        def run(parameters):
            with self._settings(dtype):
                return compiled(jnp.array(parameters), *data)

        return run

    def _settings(self, dtype):
        stack = ExitStack()
        stack.enter_context(jax.default_matmul_precision(self._precision))
        stack.enter_context(jax.enable_x64(dtype == np.float64))
        return stack


def _forward_of(case):
    activate = ACTIVATIONS[case.activation]

    def forward(layers, x):
        coefs, intercepts = layers
        for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
            x = activate(x @ coef + intercept)
        return x @ coefs[-1] + intercepts[-1]

    return forward


def _loss_of(case):
    forward = _forward_of(case)

    def loss(layers, x, target):
        error = forward(layers, x) - target
        return 0.5 * (error * error).sum() / len(x)

    return loss


def _adam_step(case, rule):
    b1, b2 = rule.beta_1, rule.beta_2
    loss_and_gradient = jax.value_and_grad(_loss_of(case))

    def step(state, batch):
        layers, first, second, t = state
        value, gradient = loss_and_gradient(layers, *batch)
        t += 1
        rate = rule.learning_rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
        first = jax.tree.map(lambda u, g: b1 * u + (1 - b1) * g, first, gradient)
        second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, second, gradient)
        layers = jax.tree.map(
            lambda w, u, v: w - rate * u / (jnp.sqrt(v) + rule.epsilon), layers, first, second
        )
        return (layers, first, second, t), value

    return step
