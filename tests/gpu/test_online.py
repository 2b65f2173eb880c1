"""Epochs of online mode on the GPU, against the oracle and the CPU."""

import numpy as np
import pytest

from fastbp import Network
from fastbp.backends.device import has_gpu, why_no_gpu
from fastbp.model.activations import HIDDEN_ACTIVATIONS
from fastbp.model.losses import LOSSES
from helpers.cases import RULES, output_activations, own_numbers
from helpers.guards import DTYPES

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)

from fastbp.backends.gpu import launches
from fastbp.backends.gpu.kernels import online_kernel
from fastbp.backends.gpu.tiling import BYTES_OF_SUMS
from fastbp.machine import gpu
from helpers.gpu_cases import (
    NUMPY_MAY_WARN,
    Guards,
    assert_same_training,
    keep_weights_in_device_memory,
    on_the_gpu,
    plans_of,
    trainable,
)

pytestmark = [pytest.mark.gpu, NUMPY_MAY_WARN]


def _check_online(network, rng, rule, n_samples=7, dtype=np.float64, **more):
    tolerance = more.pop("tolerance", 1e-10 if dtype == np.float64 else 1e-3)
    case = trainable(network, n_samples, rng, dtype, **more)
    assert_same_training(case, RULES[rule], (1, 1), tolerance)


@pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_online_epochs_of_every_activation(loss, activation, rng):
    for i, rule in enumerate(RULES):
        n_outputs = 2 if LOSSES[loss].is_softmax else 1
        network = Network((3, 4, n_outputs), activation, loss, None, own_numbers(loss))
        _check_online(network, rng, rule, 4, weighted=i % 2 == 0)


@pytest.mark.parametrize(
    ("loss", "output"), [(loss, output) for loss in LOSSES for output in output_activations(loss)]
)
def test_online_epochs_of_every_output_activation(loss, output, rng):
    for rule in ("plain", "adam"):
        _check_online(Network((3, 4, 3), "tanh", loss, output, own_numbers(loss)), rng, rule, 4)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9, 13, 31, 33, 40])
@pytest.mark.parametrize("place", ["inputs", "first", "second", "outputs", "no hidden layer"])
def test_online_epochs_of_every_size_of_a_layer(size, place, rng, monkeypatch):
    """By each rule in one place or another, and in both memories."""
    sizes = {"inputs": 3, "first": 4, "second": 5, "outputs": 2} | {place: size}
    layers = tuple(sizes.values())[:4] if place in list(sizes)[:4] else (size, 3)
    number = size + len(place)
    rule, dtype = list(RULES)[number % len(RULES)], (np.float64, np.float32)[number // 4 % 2]
    if number % 3 == 0:
        keep_weights_in_device_memory(monkeypatch)
    guards = Guards(monkeypatch)
    _check_online(Network(layers, "tanh"), rng, rule, 4, dtype)
    guards.assert_untouched()


@pytest.mark.parametrize("layers", [(4, 2), (4, 5, 2), (4, 3, 5, 4, 2)])
@pytest.mark.parametrize("rule", RULES)
@DTYPES
def test_online_epochs_in_both_memories(dtype, rule, layers, memory, rng):
    _check_online(Network(layers, "softplus"), rng, rule, 6, dtype)


@pytest.mark.parametrize("decay", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("layers", [(4, 5, 3, 2), (4, 2)])
def test_online_epochs_with_a_large_weight_decay(layers, decay, rng):
    for rule in ("plain", "momentum", "adam"):
        alpha = decay / RULES[rule].learning_rate
        _check_online(
            Network(layers, "tanh"), rng, rule, 12, weighted=False, alpha=alpha, tolerance=1e-8
        )


@pytest.mark.parametrize("layers", [(3, 2), (3, 4, 2), (3, 4, 5, 2)])
@pytest.mark.parametrize("rule", ["nesterov", "adam"])
def test_online_rows_without_weight_make_no_step(rule, layers, rng, monkeypatch):
    """At either end of a chunk, next to each other, and a whole chunk of them."""
    monkeypatch.setattr(launches, "ROWS_OF_A_CHUNK", 3)
    zeros = (0, 3, 4, 5, 8, 9, 12)
    case = trainable(Network(layers, "tanh"), 13, rng, zeros=zeros, seed=None)
    assert_same_training(case, RULES[rule])
    assert_same_training(case._replace(seed=5), RULES[rule], (1,))


@pytest.mark.parametrize("layers", [(3, 2), (3, 5, 2)])
@pytest.mark.parametrize("rule", ["plain", "momentum"])
def test_online_epochs_of_several_chunks(rule, layers, rng):
    case = trainable(Network(layers, "tanh"), 2 * launches.ROWS_OF_A_CHUNK + 3, rng)
    assert_same_training(case, RULES[rule], (1,), tolerance=1e-9)


@pytest.mark.parametrize("layers", [(3, 2), (3, 5, 2), (3, 4, 5, 2)])
def test_the_chunks_change_no_bit_of_the_parameters(layers, rng, monkeypatch):
    case = trainable(Network(layers, "tanh"), 11, rng)
    outcomes = []
    for n_rows in (32, 4, 1):
        monkeypatch.setattr(launches, "ROWS_OF_A_CHUNK", n_rows)
        outcomes += on_the_gpu([case], [{0: plan} for plan in plans_of(RULES["adam"], 2)])
    for outcome in outcomes[1:]:
        np.testing.assert_array_equal(outcome.parameters, outcomes[0].parameters)
        assert outcome.losses == pytest.approx(outcomes[0].losses, rel=1e-13)


def test_online_epochs_with_guards_in_a_table_of_chunks(rng, monkeypatch):
    monkeypatch.setattr(launches, "ROWS_OF_A_CHUNK", 4)
    guards = Guards(monkeypatch)
    _check_online(Network((3, 5, 4, 2), "tanh"), rng, "momentum", 9)
    guards.assert_untouched()


def test_weights_of_online_mode_lie_in_shared_memory_where_they_fit(rng, monkeypatch):
    asked = []

    def spy(rule, in_shared, own):
        asked.append(in_shared)
        return online_kernel(rule, in_shared, own)

    monkeypatch.setattr(launches, "online_kernel", spy)
    network = Network((12, 40, 1), "tanh")
    for n_bytes in (48 * 1024, 10_000):
        monkeypatch.setattr(gpu, "max_shared_bytes", lambda n=n_bytes: BYTES_OF_SUMS + n)
        _check_online(network, rng, "adam", 3)
    assert asked == [True, True, False, False] or asked == [True, False]
    monkeypatch.setattr(gpu, "max_shared_bytes", lambda: BYTES_OF_SUMS + 512)
    with pytest.raises(MemoryError, match="batch_size=32 or so, or device='cpu'"):
        _check_online(network, rng, "adam", 3)
