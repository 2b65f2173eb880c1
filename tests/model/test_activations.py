"""The activations and losses as plain functions, every one in the registries."""

import itertools
import math

import numpy as np
import pytest

from fastbp.model.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastbp.model.losses import LOSSES
from helpers import oracle

POINTS = np.array([-30.0, -3.0, -1.0, -0.2, 0.0, 1e-3, 0.7, 2.0, 30.0])
EVERY = pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=lambda a: a.name)
EVERY_LOSS = pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])


def test_registries_hold_what_the_documentation_lists():
    listed = "identity logistic tanh relu softsign softplus leaky_relu elu silu gelu mish sin"
    assert list(HIDDEN_ACTIVATIONS) == listed.split()
    assert set(ACTIVATIONS) == {*HIDDEN_ACTIVATIONS, "exp"} == set(oracle.ACTIVATIONS)
    assert set(LOSSES) == set(oracle.LOSSES)


@EVERY
def test_value_agrees_with_the_oracle(activation):
    got = [activation.value(z) for z in POINTS]
    expected = oracle.ACTIVATIONS[activation.name][0](POINTS)
    np.testing.assert_allclose(got, expected, rtol=1e-14, atol=1e-30)  # gelu(-30) is 1e-196


@EVERY
def test_slope_is_the_derivative_by_fourth_order_differences(activation):
    def f(z):
        return float(activation.value(np.float64(z)))

    h = 1e-3
    for z in POINTS[POINTS != 0]:
        z = np.float64(z) + 0.01  # away from kinks
        difference = (8 * (f(z + h) - f(z - h)) - (f(z + 2 * h) - f(z - 2 * h))) / (12 * h)
        slope = activation.slope(z, activation.value(z))
        assert slope == pytest.approx(difference, rel=1e-8, abs=1e-9 * max(1, abs(f(z))))


@EVERY
@DTYPES
def test_dtype_is_kept(activation, dtype):
    z = dtype(0.3)
    a = activation.value(z)
    assert type(a) is dtype
    assert type(activation.slope(z, a)) is dtype


@EVERY
@DTYPES
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nan_in_is_nan_out(activation, dtype):
    assert math.isnan(activation.value(dtype("nan")))


@EVERY
@pytest.mark.parametrize("z", [-700.0, 700.0, -1e6, 1e6])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_saturation_is_finite(activation, z):
    if activation.name == "exp" and z > 700:
        pytest.skip("e^1000000 is no float64")
    a = activation.value(np.float64(z))
    assert math.isfinite(a)
    assert math.isfinite(activation.slope(np.float64(z), a))


@EVERY
def test_positive_says_the_truth(activation):
    values = [activation.value(z) for z in POINTS]
    assert activation.positive == (min(values) > 0)


@EVERY_LOSS
def test_loss_agrees_with_the_oracle(loss):
    value, gradient = oracle.LOSSES[loss.name]
    predictions, targets = (0.1, 1.0, 3.5), (0.0, 0.5, 2.0)
    if loss.is_for_classes:
        predictions, targets = (0.01, 0.3, 0.9), (0.0, 0.5, 1.0)
    for numbers in itertools.product(predictions, targets, (0.3, 0.7)):
        if numbers[1] == 0 and not loss.takes_zero:
            continue
        given = [np.float64(number) for number in numbers]
        assert loss.value(*given) == pytest.approx(value(*numbers), rel=1e-14)
        assert loss.gradient(*given) == pytest.approx(gradient(*numbers), rel=1e-14)


@EVERY_LOSS
def test_loss_is_least_at_the_target_alone(loss):
    if loss.is_for_classes:
        pytest.skip("of a sum of outputs")
    two, own = np.float64(2.0), np.float64(0.3)
    assert loss.value(two, two, own) == 0
    assert loss.value(np.float64(2.1), two, own) > 0
    assert loss.value(np.float64(1.9), two, own) > 0


@EVERY_LOSS
@pytest.mark.parametrize("link", ACTIVATIONS.values(), ids=lambda a: a.name)
def test_the_raw_gradient_is_the_error_with_the_canonical_activation_alone(loss, link):
    def raw_gradients(y):
        for z in (-2.0, 0.3, 1.5):
            a = link.value(np.float64(z))
            slope = link.slope(np.float64(z), a)
            yield loss.gradient(a, np.float64(y), np.float64(0.3)) * slope, a - y

    is_error = all(
        by_chain_rule == pytest.approx(error, rel=1e-12)
        for y in (1.5, 0.1)
        for by_chain_rule, error in raw_gradients(y)
        if link.positive or not loss.positive
    )
    if link.positive or not loss.positive:
        assert is_error == (link.name == loss.canonical)
    else:
        assert link.name != loss.canonical


@EVERY_LOSS
@DTYPES
def test_loss_keeps_the_dtype(loss, dtype):
    for y in (dtype(0), dtype(2)):
        assert type(loss.value(dtype(0.5), y, dtype(0.3))) is dtype
        assert type(loss.gradient(dtype(0.5), y, dtype(0.3))) is dtype


def test_poisson_loss_of_a_mean_that_underflows_is_large_and_finite():
    zero, one = np.float64(0.0), np.float64(1.0)
    assert 80 < LOSSES["poisson"].value(zero, one, zero) < 100
