"""The order of rows, drawn ahead, and put back. No test here runs anything on a GPU."""

import pickle

import numpy as np
import pytest

from fastbp.model.data import as_data, batch_divisors
from fastbp.model.shuffles import Shuffles

pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")

from fastbp.backends.gpu.row_orders import RowOrder


@pytest.mark.parametrize("batch_size", [1, 2, 7, 20, 23, 50])
@pytest.mark.parametrize("kind", ["none", "ones", "some 0", "float32"])
def test_batches_weigh_what_their_rows_do(batch_size, kind, rng):
    n = 23
    weights = {
        "none": None,
        "ones": np.ones(n),
        "some 0": np.where(np.arange(n) % 3, rng.uniform(0.1, 2, n), 0),
        "float32": rng.uniform(0, 2, n).astype(np.float32),
    }[kind]
    if kind == "some 0":
        weights[:7] = 0
    dtype = np.float32 if kind == "float32" else np.float64
    data = as_data(rng.standard_normal((n, 2)).astype(dtype), np.zeros(n), weights)
    rows = np.arange(n) if kind == "some 0" else rng.permutation(n)
    totals, n_counted = [], 0
    for start in range(0, n, batch_size):
        batch = rows[start : start + batch_size]
        total = float(len(batch)) if weights is None else sum(float(weights[row]) for row in batch)
        if len(batch) == 1:
            n_counted += 1
            total = total and data.mean_weight
        elif total > 0:
            n_counted += len(batch)
        totals.append(total)
    got, counted = batch_divisors(data, rows, batch_size)
    np.testing.assert_allclose(got, totals, rtol=1e-14)
    assert got.dtype == np.float64
    assert ((got == 0) == (np.array(totals) == 0)).all()
    assert counted == n_counted


GENERATORS = [
    None,
    np.random.RandomState(3),
    np.random.RandomState(np.random.PCG64(3)),
]
EVERY_GENERATOR = pytest.mark.parametrize("number", range(len(GENERATORS)), ids=["no", "MT", "PCG"])


def _generator(number):
    return pickle.loads(pickle.dumps(GENERATORS[number]))


def _one_at_a_time(number, n_rows, n_epochs):
    """Rows of each epoch and what the generator draws after them."""
    generator, rows, epochs = _generator(number), np.arange(n_rows), []
    with Shuffles(generator) as shuffles:
        for _ in range(n_epochs):
            shuffles.shuffle(rows)
            epochs.append(rows.copy())
    return epochs, None if generator is None else generator.randint(2**31, size=700)


@pytest.mark.parametrize("n_made", [1, 3, 5])
@pytest.mark.parametrize("number", [0, 1], ids=["no", "MT"])
def test_epochs_drawn_ahead_and_not_made_leave_no_trace(number, n_made):
    epochs, following = _one_at_a_time(number, 300, n_made)
    generator, rows = _generator(number), np.arange(300)
    with Shuffles(generator) as shuffles:
        order = RowOrder(rows, shuffles)
        order.draw(2)
        order.draw(5)
        order.draw(4)
        assert len(order.epochs) == 5
        np.testing.assert_array_equal(rows, np.arange(300))
        order.settle(rows, shuffles, n_made)
    np.testing.assert_array_equal(order.epochs[:n_made], epochs)
    np.testing.assert_array_equal(rows, epochs[-1])
    if generator is not None:
        np.testing.assert_array_equal(generator.randint(2**31, size=700), following)


def test_members_that_share_an_order_end_where_each_alone_does():
    """One draws; the others have generators of their own in the same state, and stop earlier."""
    generators = [np.random.RandomState(3) for _ in range(3)]
    rows = [np.arange(50) for _ in generators]
    shuffles = [Shuffles(generator).__enter__() for generator in generators]
    order = RowOrder(rows[0], shuffles[0])
    order.draw(5)
    for each, lent, n_made in zip(rows, shuffles, (4, 1, 5), strict=True):
        order.settle(each, lent, n_made)
        lent.__exit__(None, None, None)
    for each, generator, n_made in zip(rows, generators, (4, 1, 5), strict=True):
        epochs, following = _one_at_a_time(1, 50, n_made)
        np.testing.assert_array_equal(each, epochs[-1])
        np.testing.assert_array_equal(generator.randint(2**31, size=700), following)


@EVERY_GENERATOR
def test_an_order_of_one_epoch_is_that_of_any_generator(number):
    """What is no Mersenne Twister cannot be put back, so it is drawn an epoch at a time."""
    epochs, following = _one_at_a_time(number, 40, 2)
    generator, rows = _generator(number), np.arange(40)
    with Shuffles(generator) as shuffles:
        assert shuffles.are_compiled == (number != 2)
        for epoch in epochs:
            order = RowOrder(rows, shuffles)
            order.draw(1)
            order.settle(rows, shuffles, 1)
            np.testing.assert_array_equal(rows, epoch)
    if generator is not None:
        np.testing.assert_array_equal(generator.randint(2**31, size=700), following)


def test_a_state_given_back_draws_the_same_again():
    generator = np.random.RandomState(1)
    with Shuffles(generator) as shuffles:
        before = shuffles.state
        rows = np.arange(400)
        shuffles.shuffle(rows)
        assert shuffles.state != before
        assert hash(shuffles.state) == hash(shuffles.state)
        shuffles.state = before
        assert shuffles.state == before
        again = np.arange(400)
        shuffles.shuffle(again)
        np.testing.assert_array_equal(again, rows)
        shuffles.state = before
    np.testing.assert_array_equal(generator.permutation(400), rows)


def test_equal_states_are_those_of_generators_that_draw_alike():
    generators = [np.random.RandomState(seed) for seed in (1, 1, 2)]
    generators[1].randint(10, size=1)
    with Shuffles(generators[0]) as a, Shuffles(generators[1]) as b, Shuffles(generators[2]) as c:
        assert len({a.state, b.state, c.state}) == 3
    with Shuffles(np.random.RandomState(1)) as a, Shuffles(np.random.RandomState(1)) as b:
        assert a.state == b.state
        b.state = a.state
        assert not np.shares_memory(a.generator.words, b.generator.words)


def test_there_is_a_state_where_nothing_is_shuffled():
    with Shuffles(None) as shuffles:
        before = shuffles.state
        rows = np.arange(9)
        shuffles.shuffle(rows)
        np.testing.assert_array_equal(rows, np.arange(9))
        shuffles.state = before
        assert shuffles.state == before
