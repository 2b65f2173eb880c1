"""Where a network lies in the GPU's memory. No test here runs anything on a GPU."""

import numpy as np
import pytest

from fastbp import Network
from fastbp.model.activations import ACTIVATIONS, SOFTMAX
from fastbp.model.losses import LOSSES
from helpers.own_records import CUBED, GAUSS

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")

from fastbp.backends.gpu.kernels.placement import (
    ACTIVATION,
    BIASES,
    CANONICAL,
    DELTAS,
    INPUTS,
    LOSS,
    N_DECAYED,
    N_FIELDS,
    N_IN,
    N_LAYERS,
    N_OUT,
    N_SHARERS,
    NOTHING_OWN,
    OUTPUTS,
    RAW_OUTPUTS,
    SOFTMAX_CODE,
    STRIDE,
    TRANSPOSED,
    TRANSPOSED_STRIDE,
    WEIGHTS,
    OwnRecords,
    own_records_of,
    sample_placement,
    tile_placement,
)

NETWORKS = [
    Network((1, 1)),
    Network((3, 2), loss="poisson"),
    Network((4, 4, 4), "tanh"),
    Network((5, 7, 3, 2), "logistic", output_activation="tanh"),
    Network((1, 9, 1), "relu", "poisson", "softplus"),
    Network((17, 33, 9, 1), "softplus"),
    Network((2, 1, 1, 8, 5), "identity"),
    Network((64, 100, 31), "tanh"),
    Network((4, 5, 3), "logistic", "binary_cross_entropy"),
    Network((4, 5, 3), "tanh", "cross_entropy"),
]
EVERY_NETWORK = pytest.mark.parametrize("network", NETWORKS, ids=lambda n: str(n.layer_sizes))
EVERY_PLACEMENT = pytest.mark.parametrize("kind", ["sample", "tile"])
N_THREADS = 64


def _placement(kind, network):
    if kind == "tile":
        return tile_placement(network)
    return sample_placement(network, N_THREADS)


@EVERY_NETWORK
@EVERY_PLACEMENT
def test_what_is_placed_is_gathered(network, kind):
    placement = _placement(kind, network)
    vector = np.arange(1.0, network.n_parameters + 1)
    placed = placement.place(vector)
    assert placed.shape == (placement.size,)
    np.testing.assert_array_equal(placement.gather(placed), vector)
    assert placement.place(vector.astype(np.float32)).dtype == np.float32


@EVERY_NETWORK
@EVERY_PLACEMENT
def test_no_two_parameters_share_a_place(network, kind):
    placement = _placement(kind, network)
    assert len(np.unique(placement.places)) == network.n_parameters
    assert placement.places.min() >= 0
    assert placement.places.max() < placement.n_moved == len(placement.copies) <= placement.size
    copies = placement.copies[placement.copies >= 0]
    assert len(np.unique(copies)) == len(copies)
    assert ((placement.n_moved <= copies) & (copies < placement.size)).all()
    # What is no parameter's place is padding, which stays 0, and so has no copy.
    padding = np.setdiff1d(np.arange(placement.n_moved), placement.places)
    assert (placement.copies[padding] == -1).all()
    assert not placement.place(np.ones(network.n_parameters))[padding].any()


@EVERY_NETWORK
@EVERY_PLACEMENT
def test_kernels_find_each_layer_where_the_layout_says(network, kind):
    placement = _placement(kind, network)
    vector = np.random.default_rng(0).standard_normal(network.n_parameters)
    placed = placement.place(vector)
    layout = placement.layout
    assert layout.shape == (len(network.shapes) + 1, N_FIELDS)
    assert layout[0, N_LAYERS] == len(network.shapes)
    assert list(LOSSES)[layout[0, LOSS]] == network.loss
    assert layout[0, CANONICAL] == (LOSSES[network.loss].canonical == network.last_activation)
    coefs, intercepts = network.unpack(vector)
    for fields, coef, intercept in zip(layout[1:], coefs, intercepts, strict=True):
        n_in, n_out = coef.shape
        assert (fields[N_IN], fields[N_OUT]) == coef.shape
        length = fields[STRIDE]
        start = fields[WEIGHTS]
        rows = placed[start : start + n_in * length].reshape(n_in, length)
        np.testing.assert_array_equal(rows[:, :n_out], coef)
        assert not rows[:, n_out:].any()
        assert start + n_in * length <= layout[0, N_DECAYED]
        start = fields[BIASES]
        np.testing.assert_array_equal(placed[start : start + n_out], intercept)
        assert start >= layout[0, N_DECAYED]
    names = [network.activation] * (len(network.shapes) - 1) + [network.last_activation]
    by_code = [*ACTIVATIONS, *RAW_OUTPUTS, SOFTMAX.name]
    assert [by_code[code] for code in layout[1:, ACTIVATION]] == names
    is_raw = layout[1:, ACTIVATION] >= len(ACTIVATIONS)  # the net input is kept, or log p
    assert not is_raw[:-1].any()
    assert is_raw[-1] == (LOSSES[network.loss].raw_value is not None)
    assert by_code[SOFTMAX_CODE] == SOFTMAX.name


@EVERY_NETWORK
def test_tiles_have_transposed_copies_of_all_layers_but_the_first(network):
    placement = tile_placement(network)
    vector = np.random.default_rng(0).standard_normal(network.n_parameters)
    placed, (coefs, _) = placement.place(vector), network.unpack(vector)
    n_copied = 0
    for fields, coef in zip(placement.layout[2:], coefs[1:], strict=True):
        n_in, n_out = coef.shape
        length, start = fields[TRANSPOSED_STRIDE], fields[TRANSPOSED]
        rows = placed[start : start + n_out * length].reshape(n_out, length)
        np.testing.assert_array_equal(rows[:, :n_in], coef.T)
        assert not rows[:, n_in:].any()
        places = fields[WEIGHTS] + np.arange(n_in)[:, None] * fields[STRIDE]
        copies = placement.copies[places + np.arange(n_out)]
        np.testing.assert_array_equal(placed[copies], coef)
        n_copied += coef.size
    assert (placement.copies >= 0).sum() == n_copied
    assert (sample_placement(network, N_THREADS).copies == -1).all()


@EVERY_NETWORK
def test_tiles_begin_where_sixteen_bytes_begin(network):
    """All that is loaded four numbers at a time: weights, copies, biases and rows of units."""
    placement = tile_placement(network)
    fields = placement.layout[1:]
    aligned = [WEIGHTS, STRIDE, BIASES, TRANSPOSED, TRANSPOSED_STRIDE]
    aligned += [INPUTS, OUTPUTS, DELTAS]
    assert not (fields[:, aligned] % 4).any()
    assert (fields[:, STRIDE] >= fields[:, N_OUT]).all()
    assert placement.n_moved % 4 == placement.size % 4 == placement.n_units % 4 == 0


@EVERY_NETWORK
def test_rows_of_a_samples_weights_are_odd(network):
    fields = sample_placement(network, N_THREADS).layout[1:]
    assert (fields[:, STRIDE] % 2 == 1).all()
    assert (fields[:, STRIDE] - fields[:, N_OUT] <= 1).all()


@EVERY_NETWORK
@pytest.mark.parametrize("n_threads", [4, 32, 256])
def test_a_blocks_threads_share_a_units_sum(network, n_threads):
    fields = sample_placement(network, n_threads).layout[1:]
    n_in, n_out, n_sharers = (fields[:, i] for i in (N_IN, N_OUT, N_SHARERS))
    assert (n_sharers >= 1).all()
    assert (n_sharers <= n_in).all()
    assert (n_sharers * n_out <= np.maximum(n_threads, n_out)).all()


@EVERY_NETWORK
@EVERY_PLACEMENT
def test_no_two_units_share_a_place(network, kind):
    placement = _placement(kind, network)
    in_tiles = kind == "tile"
    used = np.zeros(placement.n_units, int)
    n_inputs = network.layer_sizes[0]
    if in_tiles:
        used[:n_inputs] += 1
    below = 0
    for layer, fields in enumerate(placement.layout[1:]):
        if layer > 0 or in_tiles:
            assert fields[INPUTS] == below
        for name in (OUTPUTS, DELTAS):
            n_out = fields[N_OUT]
            n_out = -(-n_out // 4) * 4 if in_tiles else n_out
            used[fields[name] : fields[name] + n_out] += 1
        below = fields[OUTPUTS]
    assert used.max() == 1
    assert fields[DELTAS] + n_out == placement.n_units


def test_codes_of_own_records_follow_all_others():
    networks = [Network((3, 4, 2), GAUSS), Network((3, 4, 2), loss=CUBED), Network((3, 4, 2))]
    own = own_records_of(networks)
    assert own == OwnRecords((GAUSS,), (CUBED,))
    layouts = [tile_placement(network, own).layout for network in networks]
    assert layouts[0][1, ACTIVATION] == SOFTMAX_CODE + 1
    assert layouts[1][0, LOSS] == len(LOSSES)
    assert layouts[2][1, ACTIVATION] < SOFTMAX_CODE and layouts[2][0, LOSS] < len(LOSSES)
    softmax = Network((3, 4, 2), loss="cross_entropy")
    assert own_records_of([softmax]) == NOTHING_OWN
    assert tile_placement(softmax).layout[2, ACTIVATION] == SOFTMAX_CODE
