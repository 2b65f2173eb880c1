"""Which worker makes which partitions."""

import numpy as np
import pytest

from fastbp.backends.dask.cluster import Cluster
from fastbp.backends.dask.placement import neighbours_together, workers_of

da = pytest.importorskip("dask.array")
dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

N_PARTITIONS = 12
ROWS = np.arange(120.0).reshape(60, 2)


def _lazy():
    return da.from_array(ROWS, chunks=(len(ROWS) // N_PARTITIONS, 2))


def _parts(rows):
    return [dask.delayed(np.add)(block, 1) for block in rows.to_delayed()[:, 0]]


def test_neighbours_and_shares():
    assert workers_of(4, {"a": 1, "b": 1}) == ["a", "a", "b", "b"]
    assert workers_of(8, {"a": 1, "b": 2, "c": 1}) == ["a"] * 2 + ["b"] * 4 + ["c"] * 2
    assert workers_of(2, {"a": 1, "b": 1, "c": 1}) == ["a", "c"]
    assert workers_of(5, {"a": 3}) == ["a"] * 5
    for n in range(1, 40):
        found = workers_of(n, dict.fromkeys("abcdefg", 2))
        assert found == sorted(found)
        assert len({found.count(worker) for worker in set(found)}) <= 2


@pytest.fixture
def client():
    with distributed.Client(
        processes=False, n_workers=3, threads_per_worker=1, dashboard_address=":0"
    ) as client:
        yield client


def test_what_is_made_is_made_beside_its_neighbours(client):
    parts = _parts(_lazy())
    held = Cluster(client).hold(parts)
    holders = client.who_has(held)
    found = [holders[part.key][0] for part in held]
    # It is a wish: one that is behind is helped. There are 9 pairs within workers, by chance 4.
    assert sum(map(str.__eq__, found[1:], found)) >= 6
    np.testing.assert_array_equal(np.concatenate(client.gather(held)), ROWS + 1)


def test_what_is_on_the_cluster_stays_where_it_is(client):
    with neighbours_together(client, _parts(_lazy())):
        assert dask.get_annotations()["allow_other_workers"]
    rows = client.persist(_lazy())
    with neighbours_together(client, _parts(rows)):
        assert not dask.get_annotations()
    held = Cluster(client).hold(_parts(rows))
    np.testing.assert_array_equal(np.concatenate(client.gather(held)), ROWS + 1)
