"""Many networks trained in the same launches of the GPU, each as the CPU trains it alone."""

import numpy as np
import pytest
from scipy import sparse

from fastbp import Network, Objective
from fastbp.backends.device import has_gpu, why_no_gpu
from fastbp.model.data import as_data
from fastbp.model.objective import NO_PATIENCE, EpochPlan, Patience
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import UPDATE_RULES, Moments
from helpers.cases import RULES, make_case
from helpers.guards import DTYPES

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)

from fastbp.backends.gpu import row_orders
from fastbp.backends.gpu.data import DeviceTables
from fastbp.backends.gpu.fleet import Fleet
from fastbp.model.fleet import FleetMember, FleetRun
from helpers.gpu_cases import (
    NUMPY_MAY_WARN,
    Case,
    Guards,
    assert_close,
    assert_same_outcome,
    assert_same_training,
    many_cases,
    on_the_cpu,
    on_the_gpu,
    plans_of,
    trainable,
)

pytestmark = [pytest.mark.gpu, NUMPY_MAY_WARN]


@pytest.mark.parametrize(("rule", "batch_sizes"), [
    ("plain", [1]), ("momentum", [2, 5]), ("nesterov", [1]), ("adam", [1]), ("adam", [3, 11, 4]),
])  # fmt: skip
@DTYPES
def test_each_of_many_networks_is_what_it_is_alone(dtype, rule, batch_sizes, memory, rng):
    cases = many_cases(batch_sizes, rng, dtype)
    plans = [plan._replace(rule=plan.rule._replace(learning_rate=0.02)) for plan in
            plans_of(RULES[rule], 2, 1)]  # fmt: skip
    outcomes = on_the_gpu(cases, [dict.fromkeys(range(len(cases)), plan) for plan in plans])
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    for case, outcome in zip(cases, outcomes, strict=True):
        assert_same_outcome(outcome, on_the_cpu(case, plans), tolerance)


@pytest.mark.parametrize("batch_sizes", [[1], [4, 3]])
def test_plans_of_their_own_for_some_of_many_networks(batch_sizes, rng, monkeypatch):
    """Rates, numbers of epochs and patience differ, and some rest; each has its own."""
    guards = Guards(monkeypatch)
    cases, rule = many_cases(batch_sizes, rng), RULES["momentum"]
    slow = rule._replace(learning_rate=0.001)
    launches = [
        {0: EpochPlan(rule, NO_PATIENCE, 3), 2: EpochPlan(slow, NO_PATIENCE, 1),
         4: EpochPlan(rule, NO_PATIENCE, 2)},
        {3: EpochPlan(slow, NO_PATIENCE, 2)},
        {4: EpochPlan(slow, Patience(0.0, 0, 0.0, 1.0), 5), 2: EpochPlan(rule, NO_PATIENCE, 3)},
        {0: EpochPlan(slow, NO_PATIENCE, 2), 1: EpochPlan(slow, Patience(0.0, 2, 0.0, 2.0), 4),
         2: EpochPlan(slow, NO_PATIENCE, 1), 3: EpochPlan(rule, NO_PATIENCE, 1)},
    ]  # fmt: skip
    outcomes = on_the_gpu(cases, launches)
    guards.assert_untouched()
    for i, case in enumerate(cases):
        plans = [launch[i] for launch in launches if i in launch]
        assert_same_outcome(outcomes[i], on_the_cpu(case, plans))
    assert [len(outcome.losses) for outcome in outcomes] == [5, 1, 5, 3, 4]


@pytest.mark.parametrize("diverges", [False, True])
@pytest.mark.parametrize("batch_size", [1, 9])
def test_a_network_leaves_nothing_behind_where_the_next_one_is_trained(batch_size, diverges, rng):
    """When the first has ended, the second takes its place; it has its weights elsewhere."""
    first = trainable(Network((3, 8, 2), "tanh"), 9, rng, alpha=1.0, batch_size=batch_size)
    if diverges:
        first.parameters[-1] = np.nan
    network = Network((3, 5, 2), "tanh")
    second = first._replace(network=network, parameters=np.full(network.n_parameters, 0.1))
    plan = EpochPlan(RULES["adam"], NO_PATIENCE, 1)
    launches = [{0: plan, 1: plan}, *[{1: plan}] * 5]
    outcomes = on_the_gpu([first, second], launches)
    assert_same_outcome(outcomes[1], on_the_cpu(second, [plan] * 6))
    if not diverges:
        assert_same_outcome(outcomes[0], on_the_cpu(first, [plan]))


@pytest.mark.parametrize("batch_size", [1, 3])
def test_training_on_sparse_rows_is_training_on_the_dense_rows(batch_size, rng):
    network = Network((10, 4, 1), "tanh")
    parameters, X, y, weights = make_case(network, 11, rng)
    X[rng.uniform(size=X.shape) < 0.8] = 0
    X[4] = 0
    folds = [np.arange(8), np.arange(4, 11)]  # two tables, one behind the other
    results = []
    for container in (np.asarray, sparse.csr_matrix):
        cases = [
            Case(network, as_data(container(X[fold]), y[fold], weights[fold]), 0.5 * parameters,
                 batch_size=batch_size)
            for fold in folds
        ]  # fmt: skip
        (plan,) = plans_of(RULES["momentum"], 2)
        results.append(on_the_gpu(cases, [{0: plan, 1: plan}]))
    for dense, other in zip(*results, strict=True):
        assert dense.losses == other.losses
        np.testing.assert_array_equal(dense.parameters, other.parameters)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_networks_that_draw_alike_part_where_one_ends_earlier(batch_size, rng):
    """They share the orders of rows as long as they have made the same epochs, and no longer."""
    network = Network((3, 4, 1), "tanh")
    first = trainable(network, 9, rng, batch_size=batch_size)
    second = first._replace(parameters=-first.parameters)
    rule = RULES["plain"]
    one, two, three = (EpochPlan(rule, NO_PATIENCE, n) for n in (1, 2, 3))
    impatient = EpochPlan(rule, Patience(0.0, 0, 0.0, 1.0), 4)
    launches = [{0: three, 1: impatient}, {0: one, 1: two}, {0: two, 1: two}]
    outcomes = on_the_gpu([first, second], launches)
    for i, case in enumerate((first, second)):
        assert_same_outcome(outcomes[i], on_the_cpu(case, [launch[i] for launch in launches]))
    assert outcomes[0].next_draw == outcomes[1].next_draw
    np.testing.assert_equal([len(outcome.losses) for outcome in outcomes], [6, 6])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_orders_are_drawn_once_for_networks_that_draw_alike(batch_size, rng, monkeypatch):
    drawn = []
    draw = row_orders.RowOrder.draw
    monkeypatch.setattr(
        row_orders.RowOrder, "draw", lambda order, n: (drawn.append(order), draw(order, n))
    )
    network = Network((3, 4, 1), "tanh")
    case = trainable(network, 9, rng, batch_size=batch_size)
    cases = [case, case._replace(alpha=1.0), case._replace(seed=1), case._replace(seed=None)]
    plan = EpochPlan(RULES["plain"], NO_PATIENCE, 2)
    launches = [dict.fromkeys(range(4), plan)] * 2
    outcomes = on_the_gpu(cases, launches)
    assert len(set(map(id, drawn))) == 2 * 3
    for each, outcome in zip(cases, outcomes, strict=True):
        assert_same_outcome(outcome, on_the_cpu(each, [plan, plan]))


@pytest.mark.parametrize("batch_size", [1, 4])
def test_generators_that_kernels_cannot_draw_from(batch_size, rng):
    """Their epochs are made one at a launch, in the order that NumPy draws."""
    network = Network((3, 4, 1), "tanh")
    case = trainable(network, 9, rng, batch_size=batch_size, seed=np.random.PCG64)
    case = case._replace(seed=lambda: np.random.PCG64(5))
    assert_same_training(case, RULES["plain"], (1, 1, 1))
    assert_same_training(case, RULES["plain"], (1, 1), others=[case, case])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_launch_visits_so_many_rows_at_most(batch_size, rng, monkeypatch):
    monkeypatch.setattr(row_orders, "_ROWS_OF_A_LAUNCH", 30)
    case = trainable(Network((3, 4, 1), "tanh"), 13, rng, batch_size=batch_size)
    (plan,) = plans_of(RULES["adam"], 5)
    (outcome,) = on_the_gpu(
        [case], [{0: plan}, {0: plan._replace(max_epochs=3)}, {0: plan._replace(max_epochs=1)}]
    )
    assert len(outcome.losses) == 2 + 2 + 1
    assert_same_outcome(outcome, on_the_cpu(case, [plan]))


def test_a_fleets_gradient_is_the_objectives(rng):
    for batch_size in (1, 4):
        cases = many_cases([batch_size], rng)
        tables = [cases[0].data, cases[1].data]
        for case in cases[:3]:
            place = [table is case.data for table in tables].index(True)
            member = FleetMember(
                case.network, place, case.alpha, batch_size, case.parameters,
                Moments.zeros(case.parameters.size, np.dtype(float)),
                Shuffles(None),
            )  # fmt: skip
            run = FleetRun(Fleet([member], DeviceTables(tables), UPDATE_RULES["plain"]), 0)
            elsewhere = 0.3 * rng.standard_normal(case.parameters.size)
            objective = Objective(case.network, case.data, case.alpha)
            _, expected = objective.loss_and_gradient(elsewhere)
            assert_close(run.gradient(elsewhere), expected, 1e-12)
            np.testing.assert_array_equal(run.parameters, case.parameters)
