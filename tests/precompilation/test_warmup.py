"""Compiling ahead, here and on the workers of a cluster; the command line's: `test_main.py`."""

import pytest

import fastbp
from fastbp.precompilation.warmups import WARMUPS


def test_it_says_what_it_did():
    seconds = fastbp.warmup(["predict", "functions"])
    assert list(seconds) == ["predict", "functions"]
    assert all(isinstance(each, float) for each in seconds.values())
    assert list(fastbp.warmup("predict")) == ["predict"]
    assert fastbp.warmup([]) == {}


def test_all_is_what_it_does_by_default(monkeypatch):
    done = []
    for name in WARMUPS:
        monkeypatch.setitem(WARMUPS, name, lambda X, name=name: done.append((name, X.dtype)))
    assert list(fastbp.warmup()) == list(WARMUPS)
    assert done == [(name, dtype) for name in WARMUPS for dtype in ("float64", "float32")]


def test_its_docstring_names_all():
    assert [name for name in WARMUPS if f'"{name}"' not in fastbp.warmup.__doc__] == []


def test_a_wrong_name_is_said():
    with pytest.raises(ValueError, match="names holds 'lmm', but there is only .*, lm, predict"):
        fastbp.warmup(["predict", "lmm"])


class Client:
    """Stands in for a client of Dask, of a cluster of so many workers on each host."""

    asynchronous = False

    def __init__(self, **hosts):
        self.hosts = {f"{host}:{i}": host for host, n in hosts.items() for i in range(n)}
        self.asked = []

    def run(self, function, *arguments, workers=None):
        if workers is None:
            return dict(self.hosts)
        self.asked.append(workers)
        return {worker: {name: 1.0 for name in arguments[0]} for worker in workers}


def test_one_worker_of_each_host_compiles_before_the_others():
    client = Client(a=3, b=1, c=2)
    seconds = fastbp.warmup(["lm"], client=client)
    assert seconds == {worker: {"lm": 1.0} for worker in client.hosts}
    first, others = client.asked
    assert sorted(client.hosts[worker] for worker in first) == ["a", "b", "c"]
    assert sorted(first + others) == sorted(client.hosts)


def test_where_each_worker_has_a_host_all_compile_at_once():
    client = Client(a=1, b=1)
    fastbp.warmup(["lm"], client=client)
    assert client.asked == [["a:0", "b:0"]]


def test_a_client_that_will_not_do_is_refused():
    with pytest.raises(ValueError, match="client has no workers yet. client.wait_for_workers"):
        fastbp.warmup(client=Client())
    client = Client(a=1)
    with pytest.raises(ValueError, match="'all', but there is only"):
        fastbp.warmup(["all"], client=client)
    assert client.asked == []
    client.asynchronous = True
    with pytest.raises(ValueError, match="client is asynchronous"):
        fastbp.warmup(client=client)


@pytest.mark.subprocess
def test_the_workers_of_a_cluster_compile_once(python, tmp_path):
    pytest.importorskip("distributed")
    code = """
from distributed import Client, LocalCluster
import fastbp

def hits_and_misses():
    from fastbp.backends.cpu import kernels
    stats = kernels.predict.stats
    return sum(stats.cache_hits.values()), sum(stats.cache_misses.values())

cluster = LocalCluster(
    n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
)
with cluster, Client(cluster) as client:
    seconds = fastbp.warmup(["predict"], client=client)
    counts = client.run(hits_and_misses)
    print(seconds.keys() == counts.keys(), [list(each) for each in seconds.values()])
    print([counts[worker] for worker in seconds])
"""
    cache = str(tmp_path / "cache")
    first, second = python(code, timeout=500, NUMBA_CACHE_DIR=cache).splitlines()
    assert first == "True [['predict'], ['predict']]"
    assert second == "[(0, 2), (2, 0)]"  # float64 and float32; who compiles comes first
