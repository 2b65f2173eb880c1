"""Networks in lanes against the kernel that trains one: the same numbers, to rounding."""

from contextlib import ExitStack

import numpy as np
import pytest
from scipy import sparse

from fastbp import Network
from fastbp.backends.cpu.fleet import Fleet, fits_lanes, n_lanes
from fastbp.backends.cpu.objective import Objective
from fastbp.model.data import as_data
from fastbp.model.fleet import FleetMember, FleetRun
from fastbp.model.objective import NO_PATIENCE, EpochPlan, Patience
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments, adam, sgd
from helpers.guards import NEEDS_A_COMPILER
from helpers.own_records import GAUSS

pytestmark = NEEDS_A_COMPILER
RULES = {
    "plain": sgd(0.05, 0.0, False),
    "momentum": sgd(0.02, 0.9, False),
    "nesterov": sgd(0.02, 0.9, True),
    "adam": adam(0.01, 0.9, 0.999, 1e-8),
}
DIGITS = {"float64": 1e-11, "float32": 2e-4}
EVERY_RULE = pytest.mark.parametrize("rule", RULES)
BOTH = pytest.mark.parametrize("dtype", ["float64", "float32"])


def _data(network, dtype, n_rows=37, seed=0, weighted=False):
    rng = np.random.default_rng(seed)
    n_inputs, *_, n_outputs = network.layer_sizes
    X = rng.standard_normal((n_rows, n_inputs)).astype(dtype)
    if network.loss_record.is_for_classes:
        y = (rng.random((n_rows, n_outputs)) < 0.5).astype(dtype)
        if n_outputs > 1:
            y = np.eye(n_outputs)[rng.integers(0, n_outputs, n_rows)]
    else:
        y = np.exp(0.3 * np.tanh(X @ rng.standard_normal((n_inputs, n_outputs))))
    weights = rng.integers(1, 4, n_rows) if weighted else None
    return as_data(X, y.astype(dtype), weights, dtype)


def _member(network, dtype, seed, table=0, alpha=0.0, batch_size=1):
    generator = np.random.RandomState(seed)
    parameters = network.initial_parameters(generator, np.dtype(dtype))
    moments = Moments.zeros(parameters.size, parameters.dtype)
    return FleetMember(network, table, alpha, batch_size, parameters, moments, Shuffles(generator))


def _alone(member, tables, plans):
    """Losses, parameters, moments, and the next draw of one network's own training."""
    objective, losses = Objective(member.network, tables[member.table], member.alpha), []
    with member.shuffles:
        run = objective.run(
            member.parameters,
            member.batch_size,
            plans[0].rule,
            member.moments.copy(),
            member.shuffles,
        )
        for plan in plans:
            left = plan.max_epochs
            while left > 0:
                made = run.epochs(plan._replace(max_epochs=left))
                losses.extend(made)
                left -= len(made)
    return losses, run.parameters, run.moments, member.shuffles._random_state.randint(2**31)


def _together(members, tables, plans):
    """The same of each of a fleet's networks; plans are those of the members, call by call."""
    losses = [[] for _ in members]
    with ExitStack() as stack:
        for member in members:
            stack.enter_context(member.shuffles)
        fleet = Fleet(members, tables, plans[0][0].rule.record, n_threads=2)
        for of_call in plans:
            for i, made in fleet.epochs(of_call).items():
                losses[i].extend(made)
    return [
        (
            losses[i],
            fleet.parameters(i),
            fleet.moments(i),
            members[i].shuffles._random_state.randint(2**31),
        )
        for i in range(len(members))
    ]


def _assert_close(got, expected, dtype):
    tolerance = DIGITS[np.dtype(dtype).name]
    for a, b in zip(got[:2], expected[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())
    for a, b in ((got[2].first, expected[2].first), (got[2].second, expected[2].second)):
        np.testing.assert_allclose(a, b, rtol=0, atol=10 * tolerance * max(np.abs(b).max(), 1e-3))
    assert got[2].n_steps == expected[2].n_steps
    assert got[3] == expected[3]  # the generators have drawn as much


def _check(network, dtype, rule, alpha=0.0, batch_size=1, weighted=False, n_epochs=3):
    """A fleet of more networks than lanes, on two tables of different lengths."""
    n_members = n_lanes(np.dtype(dtype)) + 3
    tables = [_data(network, dtype, 37, 0, weighted), _data(network, dtype, 36, 1, weighted)]
    (plans,) = plan = [{i: EpochPlan(RULES[rule], NO_PATIENCE, n_epochs) for i in range(n_members)}]

    def members():
        return [
            _member(network, dtype, i, i % 2, alpha * (i % 3), batch_size) for i in range(n_members)
        ]

    for member, got in zip(members(), _together(members(), tables, plan), strict=True):
        _assert_close(got, _alone(member, tables, [plans[0]]), dtype)


@EVERY_RULE
@BOTH
@pytest.mark.parametrize("alpha", [0.0, 0.05])
@pytest.mark.parametrize("sizes", [(5, 7, 1), (3, 2), (4, 6, 3, 2)])
def test_each_network_is_trained_as_it_is_alone(sizes, alpha, dtype, rule):
    _check(Network(sizes, "tanh"), dtype, rule, alpha)


@EVERY_RULE
@BOTH
@pytest.mark.parametrize(("sizes", "batch_size"), [((5, 7, 1), 2), ((3, 2), 8), ((4, 6, 3, 2), 5)])
def test_in_batches_of_a_few_rows_too(sizes, batch_size, dtype, rule):
    # 37 and 36 rows: of five, the last batch has two rows in some lanes and one in others.
    _check(Network(sizes, "tanh"), dtype, rule, 0.05, batch_size, weighted=True)


@pytest.mark.parametrize("activation", ["identity", "logistic", "relu", "gelu", "softplus", "silu"])
@BOTH
def test_activations(activation, dtype):
    _check(Network((4, 5, 3, 1), (activation, "tanh")), dtype, "plain", 0.01)


@pytest.mark.parametrize(
    ("loss", "parameters"),
    [
        ("squared_error", ()),
        ("absolute_error", ()),
        ("huber", (0.3,)),
        ("quantile", (0.2, 0.7)),
        ("log_cosh", ()),
        ("poisson", ()),
        ("gamma", ()),
        ("binary_cross_entropy", ()),
        ("cross_entropy", ()),
    ],
)
@BOTH
def test_losses_and_sample_weights(loss, parameters, dtype):
    network = Network((4, 5, 2), "tanh", loss, loss_parameters=parameters)
    _check(network, dtype, "momentum", 0.01, weighted=True)
    _check(network, dtype, "momentum", 0.01, batch_size=6, weighted=True)


def test_an_output_activation_of_its_own():
    _check(Network((4, 5, 2), "tanh", "squared_error", "logistic"), "float64", "adam", 0.01)


def test_a_thousand_rows_take_the_scale_in_several_times():
    network = Network((3, 4, 1), "tanh")
    tables = [_data(network, "float64", n) for n in (1000, 300, 257, 256)]
    plans = {i: EpochPlan(RULES["plain"], NO_PATIENCE, 2) for i in range(4)}

    def members():
        return [_member(network, "float64", i, i, 0.2) for i in range(4)]

    for member, got in zip(members(), _together(members(), tables, [plans]), strict=True):
        _assert_close(got, _alone(member, tables, [plans[0]]), "float64")


@EVERY_RULE
@BOTH
@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_networks_bits_do_not_depend_on_its_neighbours(batch_size, rule, dtype):
    network = Network((4, 5, 1), "tanh")
    tables = [_data(network, dtype, 300), _data(network, dtype, 41, 1)]
    plan = EpochPlan(RULES[rule], NO_PATIENCE, 3)

    def bits(seeds):
        members = [
            _member(network, dtype, seed, seed % 2, 0.1 * (seed % 3), batch_size) for seed in seeds
        ]
        results = _together(members, tables, [dict.fromkeys(range(len(seeds)), plan)])
        return {
            seed: (np.array(losses).tobytes(), parameters.tobytes(), moments.first.tobytes())
            for seed, (losses, parameters, moments, _) in zip(seeds, results, strict=True)
        }

    many = bits(list(range(19)))
    assert bits([7]) == {7: many[7]}
    assert bits([12, 3, 7, 8]) == {seed: many[seed] for seed in (12, 3, 7, 8)}


@pytest.mark.parametrize("batch_size", [1, 8])
def test_networks_come_and_go_and_have_rates_and_patience_of_their_own(batch_size):
    network = Network((4, 5, 1), "tanh")
    tables = [_data(network, "float64")]
    rule = RULES["nesterov"]
    slow = rule._replace(learning_rate=0.001)
    impatient = EpochPlan(rule, Patience(0.0, 0, 0.0, 1.0), 9)  # never below 0: ends after two
    calls = [
        {i: EpochPlan(rule if i % 2 else slow, NO_PATIENCE, 1 + i % 4) for i in range(11)},
        {0: impatient, 5: EpochPlan(slow, NO_PATIENCE, 2)},
        {5: EpochPlan(rule, NO_PATIENCE, 1), 10: impatient},
    ]

    def member(i):
        return _member(network, "float64", i, batch_size=batch_size)

    results = _together([member(i) for i in range(11)], tables, calls)
    for i, got in enumerate(results):
        plans = [of_call[i] for of_call in calls if i in of_call]
        plans = [plan._replace(max_epochs=2) if plan is impatient else plan for plan in plans]
        _assert_close(got, _alone(member(i), tables, plans), "float64")


@EVERY_RULE
@pytest.mark.parametrize("batch_size", [1, 3])
def test_what_diverges_stays_in_its_lane(batch_size, rule):
    network = Network((4, 5, 1), "relu")
    tables = [_data(network, "float64")]
    wild = RULES[rule]._replace(learning_rate=1e200)
    plans = {i: EpochPlan(RULES[rule], NO_PATIENCE, 3) for i in range(8)}
    plans[2] = EpochPlan(wild, NO_PATIENCE, 3)

    def member(i):
        return _member(network, "float64", i, batch_size=batch_size)

    results = _together([member(i) for i in range(8)], tables, [plans])
    assert len(results[2][0]) == 1
    assert not np.isfinite(results[2][0][-1])
    for i in set(range(8)) - {2}:
        _assert_close(results[i], _alone(member(i), tables, [plans[i]]), "float64")


def test_without_a_generator_rows_stay_in_their_order():
    network = Network((4, 5, 1), "tanh")
    data = _data(network, "float64")
    plan = EpochPlan(RULES["plain"], NO_PATIENCE, 2)
    member = _member(network, "float64", 3)._replace(shuffles=Shuffles(None))
    fleet = Fleet([member], [data], plan.rule.record)
    losses = fleet.epochs({0: plan})[0]
    run = Objective(network, data).run(
        member.parameters, 1, plan.rule, member.moments, Shuffles(None)
    )
    np.testing.assert_allclose(losses, run.epochs(plan), rtol=1e-12)
    np.testing.assert_allclose(fleet.parameters(0), run.parameters, rtol=1e-10)


def test_a_run_of_a_fleet_has_the_objectives_gradient():
    network = Network((4, 5, 1), "tanh")
    data = _data(network, "float64", weighted=True)
    member = _member(network, "float64", 0, alpha=0.3)
    run = FleetRun(Fleet([member], [data], RULES["plain"].record), 0)
    expected = Objective(network, data, 0.3).loss_and_gradient(member.parameters)[1]
    np.testing.assert_array_equal(run.gradient(member.parameters), expected)


def test_what_lanes_are_for():
    network, rule = Network((4, 5, 1), "tanh"), RULES["plain"].record
    data = _data(network, "float64")
    X, y = data.X, data.y
    assert fits_lanes(network, data, 1e-4, 1, rule)
    assert fits_lanes(network, data, 1e-4, 8, rule)
    assert not fits_lanes(network, data, 1e-4, 9, rule)
    assert not fits_lanes(network, data, 0.5, 1, rule)  # the scale would not last
    assert fits_lanes(network, data, 0.5, 2, rule)  # there is none
    wide = Network((4, 200, 1), "tanh")
    assert fits_lanes(wide, data, 0.0, 1, rule)
    assert not fits_lanes(wide, data, 0.0, 8, rule)  # a batch's outputs lie beside the weights
    assert not fits_lanes(Network((4, 900, 1), "tanh"), data, 0.0, 1, rule)
    assert not fits_lanes(Network((4, 5, 1), GAUSS), data, 0.0, 1, rule)
    assert not fits_lanes(network, as_data(sparse.csr_matrix(X), y), 0.0, 1, rule)
    weights = np.ones(len(X))
    assert fits_lanes(network, as_data(X, y, weights), 0.0, 1, rule)
    weights[3] = 0  # such a row makes no step
    assert not fits_lanes(network, as_data(X, y, weights), 0.0, 1, rule)
