"""Sums over partitions whose bits do not depend on who adds.

The order is that of a binary tree over the partitions' numbers: node i of a level is the sum of
nodes 2i and 2i + 1 of the level below, and a last one without a partner moves up. Whoever holds
both of a pair may add them; what is left over is added elsewhere, by the same rule.
"""

from typing import TypeAlias

from numpy.typing import NDArray

__all__ = ["Nodes", "Sums", "add", "join", "root"]

#: Numbers and arrays that are summed each for itself; None is a sum of nothing.
Sums: TypeAlias = "tuple[float | NDArray, ...] | None"
#: From (level, number) to the sum there; a partition is on level 0.
Nodes: TypeAlias = dict[tuple[int, int], Sums]


def add(left: Sums, right: Sums) -> Sums:
    """Add two sums."""
    if left is None or right is None:
        return right if left is None else left
    return tuple(a + b for a, b in zip(left, right, strict=True))


def join(nodes: Nodes, n_partitions: int) -> Nodes:
    """Join all pairs that are complete.

    Parameters
    ----------
    nodes : dict
        Sums of some parts of the tree.
    n_partitions : int
        The number of partitions, which is the tree.

    Returns
    -------
    joined : dict
        As few sums as they can be joined to.
    """
    joined, level, n = dict(nodes), 0, n_partitions
    while n > 1:
        for i in range(0, n, 2):
            pair = (level, i), (level, i + 1)
            above = (level + 1, i // 2)
            if i + 1 == n and pair[0] in joined:
                joined[above] = joined.pop(pair[0])
            elif pair[0] in joined and pair[1] in joined:
                joined[above] = add(joined.pop(pair[0]), joined.pop(pair[1]))
        level, n = level + 1, (n + 1) // 2
    return joined


def root(nodes: Nodes, n_partitions: int) -> Sums:
    """Give the sum of all, of nodes that make up the whole tree."""
    (total,) = join(nodes, n_partitions).values()
    return total
