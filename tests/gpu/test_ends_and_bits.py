"""When training on the GPU ends within a launch, and what does not change a bit of it."""

import numpy as np
import pytest

from fastbp import Network, Objective
from fastbp.backends.cpu.predict import predict
from fastbp.backends.device import has_gpu, why_no_gpu
from fastbp.model.activations import HIDDEN_ACTIVATIONS
from fastbp.model.objective import NO_PATIENCE, EpochPlan, Patience
from fastbp.model.update_rules import sgd
from helpers.cases import RULES
from helpers.guards import DTYPES

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)

from fastbp.backends.gpu import full_pass, launches, tiling
from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.full_pass import FullPass
from fastbp.backends.gpu.objective import DeviceObjective
from fastbp.machine import gpu
from helpers.gpu_cases import (
    NUMPY_MAY_WARN,
    Case,
    assert_close,
    assert_same_outcome,
    assert_same_training,
    data_of,
    many_cases,
    on_the_cpu,
    on_the_gpu,
    plans_of,
    trainable,
)

pytestmark = [pytest.mark.gpu, NUMPY_MAY_WARN]


# When training ends.


@pytest.mark.parametrize("batch_size", [None, 1, 5])
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_reach_the_loss(activation, bad, batch_size, rng):
    network = Network((3, 4, 1), activation)
    parameters, data = data_of(network, 5, rng)
    parameters[-1] = bad  # the output's bias
    if batch_size is None:
        loss, _ = DeviceObjective(network, data).loss_and_gradient(parameters)
    else:
        case = Case(network, data, parameters, batch_size=batch_size)
        (outcome,) = on_the_gpu([case], [{0: plan} for plan in plans_of(RULES["plain"], 3)])
        (loss,) = outcome.losses  # and training has ended
    assert not np.isfinite(loss)


@pytest.mark.parametrize("batch_size", [1, 3, 5])
@pytest.mark.parametrize("place", [0, 12, -1], ids=["weight", "hidden bias", "output bias"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_parameter_ends_training_wherever_it_is(bad, place, batch_size, rng):
    """Units whose activation hides an infinity: the loss alone would not show it."""
    network = Network((3, 4, 1), "logistic")
    parameters, data = data_of(network, 5, rng)
    parameters[place] = bad
    case = Case(network, data, parameters, batch_size=batch_size)
    for others in ([], [trainable(network, 5, rng, batch_size=batch_size)]):
        cases = [case, *others]
        (plan,) = plans_of(RULES["plain"], 3)
        outcomes = on_the_gpu(cases, [dict.fromkeys(range(len(cases)), plan)])
        assert len(outcomes[0].losses) == 1
        assert not np.isfinite(outcomes[0].losses[0])
        for outcome in outcomes[1:]:
            assert len(outcome.losses) == 3
            assert np.isfinite(outcome.parameters).all()


@pytest.mark.parametrize("is_alone", [True, False], ids=["grid", "blocks"])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_epochs_end_where_the_patience_does(batch_size, is_alone, rng):
    network = Network((3, 4, 1), "tanh")
    case = trainable(network, 10, rng, weighted=False, batch_size=batch_size, seed=None)
    others = [] if is_alone else [case._replace(parameters=2 * case.parameters)]

    def losses_of(patience, max_epochs=6):
        rule = sgd(0.001, 0.0, True)
        plans = [EpochPlan(rule, patience, max_epochs)]
        launch = dict.fromkeys(range(1 + len(others)), plans[0])
        made = on_the_gpu([case, *others], [launch])
        for each, one in zip([case, *others], made, strict=True):
            assert_same_outcome(one, on_the_cpu(each, plans))
        return made[0].losses

    falling = losses_of(NO_PATIENCE)
    assert len(falling) == 6
    assert (np.diff(falling) < 0).all()
    assert len(losses_of(NO_PATIENCE, 2)) == 2
    assert len(losses_of(Patience(np.inf, 0, 10.0, 2.0))) == 4
    assert len(losses_of(Patience(0.0, 0, 0.0, 2.0))) == 3
    assert len(losses_of(Patience(0.0, 2, 0.0, 2.0))) == 1
    middle = (falling[2] + falling[3]) / 2  # no bit of a loss decides
    assert len(losses_of(Patience(middle, 0, 0.0, 1.0))) == 2
    assert len(losses_of(Patience(middle, 0, 0.0, 3.0))) == 6


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch_size", [1, 4, 10])
@DTYPES
def test_a_training_that_diverges_ends_with_a_loss_that_is_not_finite(dtype, batch_size, rule, rng):
    case = trainable(
        Network((3, 4, 1), "relu"), 10, rng, dtype, weighted=False, batch_size=batch_size
    )
    huge = {np.float64: 1e200, np.float32: 1e25}[dtype]
    rule = RULES[rule]._replace(learning_rate=huge if rule != "adam" else huge**1.4)
    ordinary = case._replace(seed=1)
    for cases in ([case], [case, ordinary]):
        launch = {0: EpochPlan(rule, NO_PATIENCE, 9)}
        if len(cases) > 1:
            launch[1] = EpochPlan(rule._replace(learning_rate=0.001), NO_PATIENCE, 2)
        outcomes = on_the_gpu(cases, [launch])
        assert len(outcomes[0].losses) < 9
        assert not np.isfinite(outcomes[0].losses[-1])
        assert np.isfinite(outcomes[0].losses[:-1]).all()
        for outcome in outcomes[1:]:
            assert_same_outcome(
                outcome, on_the_cpu(ordinary, [launch[1]]), 1e-10 if dtype == np.float64 else 1e-3
            )


@pytest.mark.parametrize("batch_size", [1, 4, 10])
def test_a_second_moment_that_overflows_ends_training(batch_size, rng):
    """Adam would stand still, without a word and with a finite loss."""
    network = Network((3, 4, 1), "relu")
    case = trainable(network, 10, rng, weighted=False, batch_size=batch_size)
    case = case._replace(data=case.data._replace(y=np.sign(case.data.y) * 1e160), alpha=0.0)
    (outcome,) = on_the_gpu([case], [{0: EpochPlan(RULES["adam"], NO_PATIENCE, 3)}])
    assert len(outcome.losses) == 1
    assert not np.isfinite(outcome.losses[-1])


# Bits.


@pytest.mark.parametrize("batch_size", [None, 1, 5])
def test_the_same_call_gives_the_same_bits(batch_size, rng):
    network = Network((4, 9, 2), "tanh")
    parameters, data = data_of(network, 20, rng)
    results = []
    for _ in range(2):
        if batch_size is None:
            results.append(DeviceObjective(network, data, 0.1).loss_and_gradient(parameters))
        else:
            case = Case(network, data, parameters, batch_size=batch_size)
            launches = [dict.fromkeys(range(2), plan) for plan in plans_of(RULES["adam"], 2)]
            outcomes = on_the_gpu([case, case], launches)
            np.testing.assert_equal(outcomes[1], outcomes[0])
            results.append(outcomes[0])
    np.testing.assert_equal(results[1], results[0])


@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("rule", ["momentum", "adam"])
def test_the_bits_do_not_depend_on_how_epochs_are_cut_into_launches(rule, batch_size, rng):
    case = trainable(Network((4, 5, 2), "tanh"), 11, rng, batch_size=batch_size)
    (whole,) = on_the_gpu([case], [{0: plan} for plan in plans_of(RULES[rule], 3)])
    (parts,) = on_the_gpu([case], [{0: plan} for plan in plans_of(RULES[rule], 1, 2)])
    np.testing.assert_equal(parts, whole)


def test_the_bits_do_not_depend_on_who_else_is_trained(rng):
    for batch_sizes in ([1], [4]):
        cases = many_cases(batch_sizes, rng)
        plan = EpochPlan(RULES["momentum"], NO_PATIENCE, 2)
        together = on_the_gpu(cases, [dict.fromkeys(range(len(cases)), plan)])
        fewer = on_the_gpu(cases[:2], [dict.fromkeys(range(2), plan)])
        for one, other in zip(fewer, together, strict=False):
            assert_same_outcome(other, one, 1e-12)


@pytest.mark.parametrize("batch_size", [None, 1, 5])
def test_results_do_not_depend_on_the_number_of_threads(batch_size, rng, monkeypatch):
    network = Network((4, 9, 3, 2), "tanh")
    parameters, data = data_of(network, 14, rng)
    for n_threads in (1, 2, 3, 7, 16) if gpu.SIMULATED else (32, 64, 96, 256):
        for module in (full_pass, tiling, launches):
            monkeypatch.setattr(module, "n_threads_for", lambda _, n=n_threads: n)
        if batch_size is None:
            loss, gradient = DeviceObjective(network, data, 0.1).loss_and_gradient(parameters)
            expected_loss, expected = Objective(network, data, 0.1).loss_and_gradient(parameters)
            assert loss == pytest.approx(expected_loss, rel=1e-12)
            assert_close(gradient, expected, 1e-12)
            prediction = FullPass(network, DeviceTables([data])).predict(parameters)
            assert_close(prediction, predict(network, parameters, data), 1e-12)
        else:
            case = Case(network, data, 0.5 * parameters, batch_size=batch_size)
            assert_same_training(case, RULES["adam"], (1, 1), by_oracle=False)
            assert_same_training(case, RULES["adam"], (1,), others=[case], by_oracle=False)
