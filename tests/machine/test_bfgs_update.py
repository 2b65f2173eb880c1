"""The loop of a BFGS update, against the update of a whole matrix."""

import numpy as np
import pytest

from fastbp.machine.bfgs_update import bfgs_update


def _problem(n, seed=0):
    """H, the gradients before and after a step along -H last, and the step's length."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((n, n + 2))
    curvature = rng.standard_normal((n, n + 2))
    h = root @ root.T + np.eye(n)
    last, step = rng.standard_normal(n), 0.1
    return h, last, last - step * (curvature @ curvature.T + np.eye(n)) @ h @ last, step


def _update(h, last, gradient, step, scales):
    v, direction = np.full((2, len(last)), np.nan)
    tau = bfgs_update(-h @ last, h @ gradient, last, gradient, step, scales, v, direction)
    return tau, v, direction


@pytest.mark.parametrize("n", [1, 2, 3, 16, 33])
@pytest.mark.parametrize("scales", [False, True])
def test_it_is_the_update_of_the_whole_matrix(n, scales):
    h, last, gradient, step = _problem(n)
    tau, v, direction = _update(h, last, gradient, step, scales)
    s, y = -step * h @ last, gradient - last
    expected = min(1.0, s @ y / (s @ np.linalg.solve(h, s))) if scales else 1.0
    assert tau == pytest.approx(expected)
    left = np.eye(n) - np.outer(s, y) / (s @ y)
    # Nocedal & Wright, eq. 6.17
    updated = left @ (h / tau) @ left.T + np.outer(s, s) / (s @ y)
    np.testing.assert_allclose(h / tau + np.outer(s, v) + np.outer(v, s), updated, rtol=1e-9)
    np.testing.assert_allclose(direction, -updated @ gradient, rtol=1e-9)


def test_a_model_that_is_too_steep_is_scaled():
    # Along s the loss has a hundredth of the curvature that H says.
    last = np.array([1.0, 2.0, 3.0])
    step = 0.5
    tau, *_ = _update(np.eye(3), last, last - 0.01 * step * last, step, True)
    assert tau == pytest.approx(0.01)


@pytest.mark.parametrize("curvature", [-0.1, 0.0, 1e-300, np.nan])
def test_without_curvature_nothing_is_written(curvature):
    last = np.array([1.0, 2.0, 3.0])  # 1e-300 is lost in rounding
    tau, v, direction = _update(np.eye(3), last, last - curvature * last, 1.0, True)
    assert tau == 0
    assert np.isnan(v).all()
    assert np.isnan(direction).all()
