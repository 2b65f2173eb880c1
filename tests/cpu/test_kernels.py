"""Every kernel against the oracle, and gradients against central differences."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy import sparse

from fastbp import Network, Objective, loss_and_gradient
from fastbp.backends.cpu.jacobian import input_gradient
from fastbp.backends.cpu.layout import layout_of, pad, unpad
from fastbp.backends.cpu.predict import predict
from fastbp.diagnostics.gradient_check import gradient_error
from fastbp.model import update_rules
from fastbp.model.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS, SOFTMAX
from fastbp.model.data import as_data
from fastbp.model.losses import LOSSES
from fastbp.model.objective import NO_PATIENCE, Patience
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments
from helpers import oracle
from helpers.cases import (
    EVERY_NETWORK,
    RULES,
    by_the_oracle,
    make_case,
    name_of,
    output_activations,
    own_numbers,
)
from helpers.guards import DTYPES, SIZES, assert_guards_untouched, guarded
from helpers.own_records import RELATIVE
from helpers.runs import NO_SHUFFLES, epoch, epochs


@pytest.mark.parametrize("network", EVERY_NETWORK, ids=name_of)
def test_loss_and_gradient_against_the_oracle(network, rng):
    parameters, X, y, weights = make_case(network, 7, rng)
    loss, gradient = loss_and_gradient(network, parameters, X, y, weights, alpha=0.3)
    expected_loss, expected = by_the_oracle(network, parameters, X, y, weights, 0.3)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    np.testing.assert_allclose(gradient, expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("network", EVERY_NETWORK, ids=name_of)
def test_gradient_against_central_differences(network, rng):
    parameters, X, y, weights = make_case(network, 7, rng)
    objective = Objective(network, as_data(X, y, weights), alpha=0.3)
    assert gradient_error(objective, parameters) < 1e-6


@pytest.mark.parametrize("network", EVERY_NETWORK[::3], ids=name_of)
def test_float32_gradient_is_close_and_stays_float32(network, rng):
    parameters, X, y, weights = make_case(network, 7, rng)
    X = X.astype(np.float32)
    parameters = parameters.astype(np.float32)
    loss, gradient = loss_and_gradient(network, parameters, X, y, weights, alpha=0.3)
    expected_loss, expected = by_the_oracle(
        network, parameters, X, y.astype(np.float32), weights, 0.3
    )
    assert gradient.dtype == np.float32
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    np.testing.assert_allclose(gradient, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", ["inputs", "hidden", "outputs", "rows"])
@DTYPES
def test_every_size_around_the_vector_width(size, place, dtype, rng):
    sizes = {"inputs": 3, "hidden": 4, "outputs": 2, "rows": 5} | {place: size}
    network = Network((sizes["inputs"], sizes["hidden"], sizes["outputs"]), "tanh")
    parameters, X, y, weights = make_case(network, sizes["rows"], rng)
    # Guard values round each array: a kernel that reads or writes past an end meets them.
    X, y, weights, parameters = (guarded(a.astype(dtype)) for a in (X, y, weights, parameters))
    loss, gradient = loss_and_gradient(network, parameters, X, y, weights, alpha=0.1)
    expected_loss, expected = by_the_oracle(network, parameters, X, y, weights, 0.1)
    tolerance = 1e-12 if dtype == np.float64 else 1e-4
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    np.testing.assert_allclose(gradient, expected, atol=tolerance * np.abs(expected).max())
    prediction = predict(network, parameters, as_data(X))
    for row, x in zip(prediction, X, strict=True):
        coefs, intercepts = network.unpack(parameters.astype(np.float64))
        _, outputs = oracle.forward(coefs, intercepts, x, "tanh", "identity")
        np.testing.assert_allclose(row, outputs[-1], atol=tolerance * np.abs(outputs[-1]).max())
    assert_guards_untouched(X, y, weights, parameters)


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 8, 13])
@pytest.mark.parametrize("rule", RULES)
def test_epoch_against_the_oracle(rule, batch_size, weighted, rng):
    network = Network((4, 5, 3, 2), "tanh")
    parameters, X, y, weights = make_case(network, 13, rng, weighted)
    if weighted:
        weights[[2, 5, 6]] = 0
    _compare_epochs(network, parameters, X, y, weights, RULES[rule], rule, batch_size, rng)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_online_epoch_of_every_activation_against_the_oracle(loss, activation, rule, rng):
    n_outputs = 2 if LOSSES[loss].is_softmax else 1
    network = Network((3, 4, n_outputs), activation, loss, None, own_numbers(loss))
    parameters, X, y, weights = make_case(network, 9, rng)
    size = 0.5 if LOSSES[loss].takes_zero else 0.2  # or gamma's steps lead far away
    _compare_epochs(network, size * parameters, X, y, weights, RULES[rule], rule, 1, rng)


@pytest.mark.parametrize("rule", ["plain", "adam"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", [*ACTIVATIONS, SOFTMAX])
def test_online_epoch_of_every_output_activation_against_the_oracle(output, loss, rule, rng):
    if output not in output_activations(loss):
        pytest.skip("has other predictions")
    network = Network((3, 4, 3), "tanh", loss, output, own_numbers(loss))
    parameters, X, y, weights = make_case(network, 9, rng)
    _compare_epochs(network, 0.5 * parameters, X, y, weights, RULES[rule], rule, 1, rng)


@pytest.mark.parametrize("rule", ["plain", "adam"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", ["inputs", "first", "second", "outputs", "no hidden layer"])
@DTYPES
def test_online_epoch_of_every_size_against_the_oracle(size, place, rule, dtype, rng):
    sizes = {"inputs": 3, "first": 4, "second": 5, "outputs": 2} | {place: size}
    layers = tuple(sizes.values())[:4] if place in list(sizes)[:4] else (size, 3)
    network = Network(layers, "tanh")
    parameters, X, y, weights = make_case(network, 12, rng)
    X, y, weights = (guarded(a.astype(dtype)) for a in (X, y, weights))
    parameters = guarded((0.5 * parameters).astype(dtype))
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    _compare_epochs(
        network, parameters, X, y, weights, RULES[rule], rule, 1, rng, tolerance=tolerance, n=1
    )
    assert_guards_untouched(X, y, weights, parameters)


@pytest.mark.parametrize("hidden", [(1000,), (1, 700, 2), (1,), (3,) * 10], ids=str)
@pytest.mark.parametrize("rule", ["plain", "adam"])
def test_deep_and_wide_networks_against_the_oracle(hidden, rule, rng):
    network = Network((4, *hidden, 1), "tanh")
    parameters, X, y, weights = make_case(network, 9, rng)
    parameters *= 2 / np.sqrt(max(hidden))
    _, gradient = loss_and_gradient(network, parameters, X, y, weights, alpha=0.2)
    _, expected = by_the_oracle(network, parameters, X, y, weights, 0.2)
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    small = RULES[rule]._replace(learning_rate=1e-3)
    for batch_size in (1, 4, 9):
        _compare_epochs(network, parameters.copy(), X, y, weights, small, rule, batch_size, rng)


@pytest.mark.parametrize("decay", [0.5, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("rule", ["plain", "momentum", "adam"])
@pytest.mark.parametrize("layers", [(4, 5, 3, 2), (4, 2)])
def test_online_epoch_with_a_large_weight_decay_against_the_oracle(layers, rule, decay, rng):
    """(1 - rate alpha) W is then W / 2, 0, or of the other sign, where W is kept as s V."""
    network = Network(layers, "tanh")
    parameters, X, y, _ = make_case(network, 40, rng, weighted=False)
    alpha = decay / RULES[rule].learning_rate
    _compare_epochs(
        network, parameters, X, y, None, RULES[rule], rule, 1, rng, alpha, tolerance=1e-8, n=1
    )


@pytest.mark.parametrize("decay", [0.5, 0.9, 1.5])
def test_a_large_weight_decay_over_many_rows_of_float32(decay, rng):
    """W is s V, and s = (1 - decay)^200 is no float32: V has to take s in on the way."""
    network = Network((4, 5, 2), "tanh")
    parameters, X, y, _ = make_case(network, 200, rng, weighted=False)
    parameters, X, y = (a.astype(np.float32) for a in (parameters, X, y))
    _compare_epochs(
        network, parameters, X, y, None, RULES["plain"], "plain", 1, rng, decay / 0.05,
        tolerance=1e-3, n=1,
    )  # fmt: skip


@pytest.mark.parametrize("rule", ["plain", "adam"])
def test_online_epoch_of_several_chunks_against_the_oracle(rule, rng):
    from fastbp.backends.cpu import kernels

    network = Network((4, 5, 2), "tanh")
    parameters, X, y, weights = make_case(network, 2 * kernels.ROWS_OF_A_CHUNK + 70, rng)
    rule_of_small_steps = RULES[rule]._replace(learning_rate=0.005)
    _compare_epochs(
        network, parameters, X, y, weights, rule_of_small_steps, rule, 1, rng, alpha=2.0, n=1
    )


def _compare_epochs(
    network, parameters, X, y, weights, rule, kind, batch_size, rng, alpha=0.2, tolerance=1e-10, n=3
):
    """Train for n epochs, of either dtype; the oracle's parameters are float64."""
    expected = parameters.astype(np.float64)
    coefs, intercepts = network.unpack(expected)
    optimiser = oracle.Optimiser(kind, rule.learning_rate, rule.beta_1 or 0.9)
    objective = Objective(network, as_data(X, y, weights), alpha)
    moments = Moments.zeros(parameters.size, parameters.dtype)
    for _ in range(n):
        order = rng.permutation(len(X))
        loss = epoch(objective, parameters, order, batch_size, rule, moments)
        expected_loss = oracle.epoch(
            coefs, intercepts, X, y, weights, alpha, network.activation,
            network.last_activation, network.loss, order, batch_size, optimiser,
            network.loss_parameter_of_outputs,
        )  # fmt: skip
        assert loss == pytest.approx(expected_loss, rel=tolerance)
        np.testing.assert_allclose(parameters, expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_online_is_a_mini_batch_of_one(rule, dtype, rng):
    from fastbp.backends.cpu import kernels

    network = Network((6, 9, 1), "logistic")
    parameters, X, y, weights = make_case(network, 40, rng)
    data = as_data(X, y, weights, dtype)
    rows = rng.permutation(40)
    results = []
    for run in (kernels.online_epochs, kernels.batch_epochs):
        p = parameters.astype(dtype)
        moments = (np.zeros_like(p), np.zeros_like(p), 0)
        workspace = kernels.make_workspace(layout_of(network, dtype), dtype)
        state = kernels.EpochState(
            NO_SHUFFLES.generator, np.empty(41, np.int64), np.inf, 0.0, 0.0, np.inf, np.zeros(1)
        )
        n_made = run(
            layout_of(network, dtype),
            p,
            data,
            rows,
            1,
            0.1,
            RULES[rule],
            moments,
            state,
            workspace,
        )
        assert n_made == (1, 40, 40)
        results.append((state.losses[0], p))
    tolerance = 1e-12 if dtype == np.float64 else 1e-4
    (loss, p), (expected_loss, expected) = results
    assert loss == pytest.approx(expected_loss, rel=tolerance)
    np.testing.assert_allclose(p, expected, atol=tolerance * np.abs(expected).max())


def test_gradient_of_a_batch_is_the_sum_of_its_samples(rng):
    network = Network((4, 6, 2), "silu")
    parameters, X, y, _ = make_case(network, 11, rng, weighted=False)
    _, whole = loss_and_gradient(network, parameters, X, y)
    parts = [loss_and_gradient(network, parameters, X[[i]], y[[i]])[1] for i in range(11)]
    np.testing.assert_allclose(whole, np.mean(parts, axis=0), atol=1e-13)


@pytest.mark.parametrize("container", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_sparse_rows_are_the_dense_rows(container, rng):
    network = Network((20, 6, 1), "tanh")
    parameters, X, y, weights = make_case(network, 300, rng)
    X[rng.uniform(size=X.shape) < 0.8] = 0
    dense = loss_and_gradient(network, parameters, X, y, weights)
    other = loss_and_gradient(network, parameters, container(X), y, weights)
    assert other[0] == dense[0]
    np.testing.assert_array_equal(other[1], dense[1])
    np.testing.assert_array_equal(
        predict(network, parameters, as_data(container(X))),
        predict(network, parameters, as_data(X)),
    )


def test_duplicate_entries_of_a_sparse_row_are_summed():
    X = sparse.csr_matrix(
        (np.array([1.0, 2.0, 4.0]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2)
    )
    assert predict(Network((2, 1)), np.array([1.0, 10.0, 0.0]), as_data(X)).ravel().tolist() == [
        30.0,
        4.0,
    ]


@pytest.mark.parametrize("n_samples", [5000, 40_000])
def test_same_bits_for_any_number_of_threads(n_samples, rng):
    network = Network((5, 8, 1), "tanh")
    parameters, X, y, weights = make_case(network, n_samples, rng)
    data = as_data(X, y, weights)
    results = [
        Objective(network, data, 0.1, n_threads).loss_and_gradient(parameters)
        for n_threads in (1, 2, 4)
    ]
    for loss, gradient in results[1:]:
        assert loss == results[0][0]
        np.testing.assert_array_equal(gradient, results[0][1])
    predictions = [predict(network, parameters, data, n) for n in (1, 2, 4)]
    for other in predictions[1:]:
        np.testing.assert_array_equal(other, predictions[0])


def test_predictions_do_not_depend_on_the_grouping_of_rows(rng):
    network = Network((5, 33, 7, 2), "tanh")
    parameters, X, _, _ = make_case(network, 200, rng)
    whole = predict(network, parameters, as_data(X))
    for size in (1, 7, 64):
        parts = [
            predict(network, parameters, as_data(X[i : i + size])) for i in range(0, 200, size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch_size", [1, 7, 300])
def test_bits_do_not_depend_on_how_an_epoch_is_cut_into_calls(batch_size, rule, rng, monkeypatch):
    network = Network((5, 8, 1), "relu")
    parameters, X, y, weights = make_case(network, 1000, rng)
    small = RULES[rule]._replace(learning_rate=1e-3)  # a training that diverges has no bits
    results = []
    for flops in (1e8, 5e4 if batch_size == 1 else 3e5):
        monkeypatch.setattr("fastbp.machine.threads._FLOPS_PER_CALL", flops)
        objective = Objective(network, as_data(X, y, weights), 0.1)
        moments = Moments.zeros(parameters.size, parameters.dtype)
        run = objective.run(parameters, batch_size, small, moments, NO_SHUFFLES)
        assert (0 < run._rows_per_call < 1000) == (flops < 1e8)
        p = parameters.copy()
        loss = epoch(objective, p, np.arange(1000), batch_size, small, moments)
        results.append((loss, p))
    assert np.isfinite(results[0][0])
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-13)
    np.testing.assert_array_equal(results[1][1], results[0][1])


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch_size", [1, 7])
@DTYPES
def test_several_epochs_of_a_call_have_the_bits_of_single_ones(dtype, batch_size, rule, rng):
    network = Network((5, 8, 3, 1), "tanh")
    parameters, X, y, weights = make_case(network, 300, rng)
    data = as_data(X, y, weights, dtype)
    results = []
    for max_epochs in (6, 1):
        objective = Objective(network, data, alpha=0.1)
        p, rows = parameters.astype(dtype), np.arange(300)
        moments = Moments.zeros(p.size, p.dtype)
        random_state, losses = np.random.RandomState(0), []
        with Shuffles(random_state) as shuffles:
            while len(losses) < 6:
                made = epochs(
                    objective,
                    p,
                    rows,
                    batch_size,
                    RULES[rule],
                    moments,
                    shuffles,
                    NO_PATIENCE,
                    max_epochs,
                )
                assert len(made) == max_epochs
                losses += made.tolist()
        next_draw = random_state.randint(2**31)
        results.append((p, rows, losses, moments.first, moments.second, moments.n_steps, next_draw))
    for several, alone in zip(*results, strict=True):
        np.testing.assert_array_equal(several, alone)


@pytest.mark.parametrize("batch_size", [1, 7])
def test_several_epochs_stop_where_the_patience_ends(batch_size, rng):
    network = Network((5, 8, 1), "tanh")
    parameters, X, y, _ = make_case(network, 100, rng)

    def losses(patience, rate=0.001):
        objective = Objective(network, as_data(X, y))
        moments = Moments.zeros(parameters.size, parameters.dtype)
        rule, p = update_rules.sgd(rate, 0.0, True), parameters.copy()
        made = epochs(
            objective, p, np.arange(100), batch_size, rule, moments, NO_SHUFFLES, patience, 30
        )
        assert moments.n_steps == len(made) * -(-100 // batch_size) or not np.isfinite(made[-1])
        return made

    falling = losses(NO_PATIENCE)
    assert len(falling) == 30
    assert (np.diff(falling) < 0).all()
    assert len(losses(Patience(np.inf, 0, 0.0, 2.0))) == 30
    # The first epoch is better than infinity; the three after it are no better by 10.
    assert len(losses(Patience(np.inf, 0, 10.0, 2.0))) == 4
    assert len(losses(Patience(0.0, 0, 0.0, 2.0))) == 3
    assert len(losses(Patience(0.0, 2, 0.0, 2.0))) == 1
    np.testing.assert_array_equal(losses(Patience(falling[9], 0, 0.0, 8.0)), falling[:9])
    diverged = losses(NO_PATIENCE, rate=1e200)
    assert len(diverged) < 30
    assert not np.isfinite(diverged[-1]) or len(diverged) == 1


@pytest.mark.parametrize("activation", ["logistic", "softplus", "sin"])
@pytest.mark.parametrize("layers", [(5, 7, 3, 2), (5, 17, 9, 1), (3, 2), (6, 5, 20, 3)])
@pytest.mark.parametrize("rule", RULES)
@DTYPES
def test_padding_stays_zero(activation, layers, rule, dtype, rng):
    """f(0) is not 0 for a logistic or softplus unit: what stands in the padding of its layer."""
    network = Network(layers, activation)
    is_padding = np.ones(layout_of(network, dtype).n_padded, dtype)
    pad(network, np.zeros(network.n_parameters, dtype), is_padding)
    is_padding = is_padding == 1
    assert is_padding.sum() == layout_of(network, dtype).n_padded - network.n_parameters > 0
    parameters, X, y, weights = make_case(network, 60, rng)
    objective = Objective(network, as_data(X, y, weights, dtype), alpha=0.1)
    p = parameters.astype(dtype)
    moments = Moments.zeros(p.size, p.dtype)
    for batch_size in (1, 7, 1, 60):
        epoch(objective, p, np.arange(60), batch_size, RULES[rule], moments)
        for name in ("parameters", "gradient", "first", "second"):
            padded = getattr(objective._full_pass.workspace, name)
            assert not padded[is_padding].any(), (batch_size, name)
            assert np.isfinite(padded).all()
    np.testing.assert_array_equal(unpad(network, objective._full_pass.workspace.parameters), p)


@pytest.mark.parametrize("rule", RULES)
def test_large_batches_do_what_small_ones_do(rule, rng, monkeypatch):
    network = Network((5, 8, 1), "tanh")
    parameters, X, y, weights = make_case(network, 4000, rng)
    weights[1500:3000] = 0  # the second batch makes no step
    results = []
    for flops in (1e8, 1e4):
        monkeypatch.setattr("fastbp.machine.threads._FLOPS_PER_CALL", flops)
        objective = Objective(network, as_data(X, y, weights), 0.1, n_threads=2)
        moments = Moments.zeros(parameters.size, parameters.dtype)
        p = parameters.copy()
        loss = epoch(objective, p, np.arange(4000), 1500, RULES[rule], moments)
        results.append((loss, p, moments.n_steps))
    assert results[1][2] == results[0][2] == 2
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-12)
    np.testing.assert_allclose(results[1][1], results[0][1], atol=1e-12)


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_reach_the_loss(activation, bad, rng):
    network = Network((3, 4, 1), activation)
    parameters, X, y, _ = make_case(network, 5, rng)
    objective = Objective(network, as_data(X, y))
    parameters[-1] = bad  # the output's bias
    loss, _ = objective.loss_and_gradient(parameters)
    assert not np.isfinite(loss)


def test_saturated_units_have_finite_gradients(rng):
    for activation in HIDDEN_ACTIVATIONS:
        network = Network((3, 4, 1), activation)
        parameters, X, y, _ = make_case(network, 5, rng)
        loss, gradient = loss_and_gradient(network, parameters * 1e6, X, y)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize("n_samples", [1, 5, 17])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_loss_that_is_infinite_at_a_target_of_0_meets_none(n_samples, dtype, rng):
    """A block's padding has rows of weight 0, whose loss is to be finite too."""
    network = Network((3, 4, 2), "tanh", RELATIVE)
    parameters, X, y, _ = make_case(Network((3, 4, 2)), n_samples, rng, weighted=False)
    data = as_data(X, np.abs(y) + 0.5, dtype=dtype)
    objective = Objective(network, data)
    loss, gradient = objective.loss_and_gradient(parameters.astype(dtype))
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_threads_may_share_an_objective(rng):
    network = Network((5, 40, 1), "tanh")
    parameters, X, y, _ = make_case(network, 300, rng, weighted=False)
    objective = Objective(network, as_data(X, y))
    both = [parameters, 2 * parameters]
    expected = [objective.loss_and_gradient(each)[0] for each in both]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda p: objective.loss_and_gradient(p)[0], both * 500))
    assert found == expected * 500


def test_inputs_of_another_network_are_refused(rng):
    network = Network((5, 4, 1), "tanh")
    parameters, X, *_ = make_case(network, 30, rng)
    for function in (predict, input_gradient):
        with pytest.raises(ValueError, match=r"have 7 columns.*has 5 inputs"):
            function(network, parameters, as_data(np.ones((30, 7))))
