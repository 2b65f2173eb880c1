"""Epochs of mini-batches on the GPU, against the oracle and the CPU."""

import itertools

import numpy as np
import pytest

from fastbp import Network
from fastbp.backends.device import has_gpu, why_no_gpu
from fastbp.model.losses import LOSSES
from helpers.cases import RULES, output_activations, own_numbers
from helpers.guards import DTYPES

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)

from fastbp.backends.gpu import full_pass, launches
from fastbp.backends.gpu.kernels import batch
from fastbp.machine import gpu
from helpers.gpu_cases import NUMPY_MAY_WARN, Guards, assert_same_training, take_tiles_of, trainable

pytestmark = [pytest.mark.gpu, NUMPY_MAY_WARN]


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("batch_size", [2, 3, 8, 13])
@pytest.mark.parametrize("rule", RULES)
def test_mini_batches_of_one_network(rule, batch_size, weighted, rng):
    """One network is trained by the whole grid; 13 rows leave a last batch of one."""
    zeros = (2, 5, 6) if weighted else ()
    case = trainable(
        Network((4, 5, 3, 2), "tanh"), 13, rng, weighted=weighted, zeros=zeros,
        batch_size=batch_size,
    )  # fmt: skip
    assert_same_training(case, RULES[rule])


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize(("rule", "batch_size"), list(zip(RULES, itertools.cycle([2, 3, 8, 13]))))
def test_mini_batches_of_two_networks(rule, batch_size, weighted, rng):
    """Each is trained by a block."""
    network = Network((4, 5, 2), "tanh")
    zeros = (2, 5, 6) if weighted else ()
    case = trainable(network, 13, rng, weighted=weighted, zeros=zeros, batch_size=batch_size)
    other = case._replace(network=network, seed=1, alpha=0.0)
    assert_same_training(case, RULES[rule], others=[other])


@pytest.mark.parametrize("is_alone", [True, False], ids=["grid", "blocks"])
@pytest.mark.parametrize("rule", RULES)
@DTYPES
def test_batches_of_several_tiles(dtype, rule, is_alone, memory, rng, monkeypatch):
    n_rows, batch_size, n = (8, 20, 45) if rule in ("plain", "adam") else (32, 40, 75)
    take_tiles_of(n_rows, monkeypatch)
    case = trainable(Network((3, 9, 2), "softplus"), n, rng, dtype, batch_size=batch_size)
    others = [] if is_alone else [case._replace(seed=1)]
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    assert_same_training(case, RULES[rule], (1, 1), tolerance, others)


@pytest.mark.skipif(not gpu.SIMULATED, reason="a compiled kernel keeps the number of slots")
@pytest.mark.parametrize("n_slots", [1, 2])
def test_several_tiles_of_a_slot_in_a_batch(n_slots, rng, monkeypatch):
    for module in (launches, full_pass, batch):
        monkeypatch.setattr(module, "MAX_SLOTS", n_slots)
    case = trainable(Network((3, 4, 2), "tanh"), 45, rng, batch_size=40)
    assert_same_training(case, RULES["nesterov"], (1, 1))


@pytest.mark.skipif(gpu.SIMULATED, reason="thousands of rows")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("batch_size", [700, 3000, 5000])
def test_batches_of_more_tiles_than_slots(batch_size, rule, rng):
    case = trainable(Network((5, 40, 33, 2), "tanh"), 5000, rng, batch_size=batch_size)
    assert_same_training(case, RULES[rule], tolerance=1e-9, by_oracle=False)


@pytest.mark.parametrize("is_alone", [True, False], ids=["grid", "blocks"])
@pytest.mark.parametrize("batch_size", [2, 3, 4])
@pytest.mark.parametrize("rule", ["plain", "adam"])
def test_batches_without_weight_make_no_step(rule, batch_size, is_alone, rng):
    """Neither a batch whose weights are all 0, nor a last one of one row, which counts."""
    zeros = (0, 1, 2, 3, 8, 9, 10, 11, 12)
    network = Network((4, 5, 2), "tanh")
    case = trainable(network, 13, rng, zeros=zeros, batch_size=batch_size, seed=None)
    others = [] if is_alone else [case._replace(seed=1)]
    assert_same_training(case, RULES[rule], others=others)


@pytest.mark.parametrize("place", ["inputs", "hidden", "outputs"])
@pytest.mark.parametrize("size", [1, 4, 8, 13, 33])
def test_mini_batches_of_every_size_of_a_layer(size, place, rng, monkeypatch):
    sizes = {"inputs": 3, "hidden": 4, "outputs": 2} | {place: size}
    network = Network(tuple(sizes.values()), "softplus")
    guards = Guards(monkeypatch)
    case = trainable(network, 5, rng, batch_size=3)
    others = [] if size % 2 else [case._replace(seed=1)]
    assert_same_training(case, RULES["adam"], (1, 1), others=others)
    guards.assert_untouched()


@pytest.mark.parametrize("batch_size", [4, 7])
@pytest.mark.parametrize(("loss", "output"), [
    (loss, output)
    for loss in LOSSES
    for output in output_activations(loss)
    if output in ("logistic", "softplus", "exp", "softmax")
])  # fmt: skip
def test_mini_batches_of_output_activations(output, loss, batch_size, rng):
    case = trainable(
        Network((3, 4, 3), "relu", loss, output, own_numbers(loss)), 7, rng, batch_size=batch_size
    )
    assert_same_training(case, RULES["momentum"])


def test_a_network_of_more_parameters_than_a_chunk(rng):
    """Parameters are moved in chunks of 256."""
    case = trainable(Network((20, 14, 9, 2), "tanh"), 6, rng, batch_size=4)
    assert case.network.n_parameters > 256
    assert_same_training(case, RULES["adam"], (1, 1))
    assert_same_training(case, RULES["adam"], (1, 1), others=[case._replace(seed=1)])
