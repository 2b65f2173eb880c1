"""Sums over partitions: the same additions, whoever holds which of them."""

import numpy as np
import pytest

from fastbp.backends.dask.tree import add, join, root


def _leaves(n):
    generator = np.random.default_rng(n)
    return {(0, i): (float(generator.normal()), generator.normal(size=3)) for i in range(n)}


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13, 100])
@pytest.mark.parametrize("n_workers", [1, 2, 3, 7])
def test_the_bits_do_not_depend_on_who_adds(n, n_workers):
    leaves = _leaves(n)
    whole = root(leaves, n)
    holder = np.random.default_rng(n_workers).integers(n_workers, size=n)
    gathered = {}
    for worker in range(n_workers):
        own = {node: value for node, value in leaves.items() if holder[node[1]] == worker}
        gathered |= join(own, n)
    total = root(gathered, n)
    assert total[0] == whole[0]
    np.testing.assert_array_equal(total[1], whole[1])
    np.testing.assert_allclose(total[1], sum(value[1] for value in leaves.values()))


def test_neighbours_are_joined_where_they_are():
    leaves = _leaves(16)
    half = join({(0, i): leaves[0, i] for i in range(8)}, 16)
    assert list(half) == [(3, 0)]


def test_a_sum_of_nothing_adds_nothing():
    value = (1.0, np.ones(2))
    assert add(None, value) is value
    assert add(value, None) is value
    assert add(None, None) is None
    assert root({(0, 0): None, (0, 1): value, (0, 2): None}, 3) == value
