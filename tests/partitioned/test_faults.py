"""Workers that die, pause and join, lost schedulers, Ctrl-C: nothing hangs, no bit changes.

Each runs in a process of its own, under a timeout, on a cluster of processes of this machine.
"""

import os

import numpy as np
import pytest

from fastbp import BackpropClassifier

pytest.importorskip("dask.array")
pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.subprocess,
    pytest.mark.skipif(os.name != "posix", reason="signals of POSIX"),
]

SCRIPT = """
import contextlib, os, pickle, signal, threading, time
import numpy as np
from helpers.clusters import *

def error_of(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"

data = collections(*problem())
"""


@pytest.mark.parametrize("solver", ["rprop", "lm", "lbfgs", "adam"])
def test_workers_killed_at_random_change_no_bit(python, solver):
    code = f"""{SCRIPT}
with cluster_of(2, silence_logs=50) as (cluster, client):
    make_net("{solver}", max_iter=1).fit(*data)  # loads the kernels
    begin = time.monotonic()
    expected = make_net("{solver}").fit(*data)
    lasts, n_killed = time.monotonic() - begin, 0
    rng = np.random.default_rng(0)
    while n_killed < 3:
        with kills(cluster, rng.uniform(0, lasts, 2), n_killed) as killed:
            net = make_net("{solver}").fit(*data)
        n_killed += len(killed)
        assert same(net, expected)
        client.wait_for_workers(2, timeout=60)
    print(is_idle(client))
"""
    assert python(code).split() == ["True"]


def test_workers_that_join_and_pause_change_no_bit(python):
    code = f"""{SCRIPT}
def pause():
    (pid, _) = worker_processes(cluster)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(5)
    os.kill(pid, signal.SIGCONT)

with cluster_of(1, silence_logs=50) as (cluster, client):
    expected = make_net("rprop").fit(*data)
    for action in (lambda: cluster.scale(2), pause):
        thread = later(0.1, action)
        print(same(make_net("rprop").fit(*data), expected))
        thread.join()
        client.wait_for_workers(2, timeout=60)
"""
    assert python(code).split() == ["True", "True"]


def test_a_lost_scheduler_is_told_soon_and_the_estimator_is_as_it_was(python):
    code = f"""{SCRIPT}
with scheduler_alone() as (scheduler, client):
    net = make_net("rprop", max_iter=2).fit(*data)
    net.set_params(max_iter=10**6)
    before = dict(vars(net))
    later(1, scheduler.kill)
    for _ in range(2):  # in the middle, and before
        print("cluster was lost" in error_of(net.fit, *data))
    print(vars(net) == before)
"""
    assert python(code).split() == ["True"] * 3


def test_workers_that_die_one_after_the_other_are_told(python):
    """As they do where a partition needs more memory than they have."""
    code = f"""{SCRIPT}
import dask
import dask.array as da
dask.config.set({{"distributed.scheduler.allowed-failures": 1}})

def kill_own_worker(block):
    os.kill(os.getpid(), signal.SIGKILL)
    return block

X, y = data
with cluster_of(1, silence_logs=50) as (cluster, client):
    net = make_net("rprop")
    message = error_of(net.fit, X.map_blocks(kill_own_worker, meta=np.empty((0, 5))), y)
    print(message.startswith("RuntimeError: Dask workers died"), "memory_limit" in message)
    print(hasattr(net, "coefs_"))
"""
    assert python(code).split() == ["True", "True", "False"]


def test_ctrl_c_keeps_the_weights_so_far_and_nothing_works_on(python):
    code = f"""{SCRIPT}
from fastbp.training import interrupts

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background

def fit_interrupted(net):
    thread = later(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    try:
        return net.fit(*data).stop_reason_
    except KeyboardInterrupt:
        return "raised"
    finally:
        thread.join()

with cluster_of(1, processes=False) as (cluster, client):
    for solver in ("rprop", "adam"):
        net = make_net(solver, max_iter=2).fit(*data)
        before = vector_of(net).tobytes()
        net.set_params(max_iter=10**6, n_iter_no_change=np.inf)
        interrupts._last = -np.inf
        print(fit_interrupted(net), len(net.loss_curve_) == net.n_iter_ > 0, is_idle(client))
        before = vector_of(net).tobytes()
        interrupts._last = np.inf  # as if there had been one just before
        print(fit_interrupted(net), vector_of(net).tobytes() == before, is_idle(client))
"""
    kept, raised = ["interrupted", "True", "True"], ["raised", "True", "True"]
    assert python(code).split() == (kept + raised) * 2


def test_fits_in_tasks_in_threads_and_side_by_side(python):
    """A task that waits for others holds its worker's only thread; it has to give it up."""
    code = f"""{SCRIPT}
from concurrent.futures import ThreadPoolExecutor
from distributed import worker_client

def fit(solver="rprop"):
    return make_net(solver, max_iter=3).fit(*data)

def fit_with_client():
    with worker_client():
        return fit()

with cluster_of(1, processes=False) as (cluster, client):
    expected = {{solver: fit(solver) for solver in SOLVERS}}
    for task in (fit, fit_with_client):
        print(same(client.submit(task, pure=False).result(timeout=100), expected["rprop"]))
    with ThreadPoolExecutor() as pool:
        for solver, net in zip(SOLVERS, pool.map(fit, SOLVERS)):
            print(same(net, expected[solver]))
    print(is_idle(client))
for solver in SOLVERS:
    print(same(fit(solver), expected[solver]))  # the client is closed: in threads
    print(same(pickle.loads(pickle.dumps(expected[solver])), expected[solver]))
"""
    assert set(python(code).split()) == {"True"}


def test_a_partition_that_cannot_be_read_is_named(python):
    code = f"""{SCRIPT}
import warnings
import dask.array as da
from dask import delayed
warnings.simplefilter("ignore")
X, y = problem()
n_reads = [0]

def read(number, n_failures):
    if number == 3:
        n_reads[0] += 1
        if n_reads[0] <= n_failures:
            raise OSError("no disk")
    return X[number * 100 : (number + 1) * 100]

def fit(net, n_failures):
    n_reads[0] = 0
    blocks = [delayed(read, pure=False)(i, n_failures) for i in range(8)]
    blocks = [da.from_delayed(block, (100, 5), meta=X[:0]) for block in blocks]
    net.fit(da.concatenate(blocks), data[1])

def show(net):
    before = dict(vars(net))
    message = error_of(fit, net, 10**9)
    assert message.startswith("RuntimeError: Partition 3 could not be computed: OSError: no disk")
    assert vars(net) == before

for solver in ("rprop", "adam"):
    net = make_net(solver, max_iter=2, batch_size=10, n_jobs=1)
    show(net)
    fit(net, 0)
    show(net)
    with cluster_of(1, processes=False, silence_logs=50) as (cluster, client):
        show(net)
        expected = vector_of(net).tobytes()
        fit(net, 2)  # it is read again
        print(vector_of(net).tobytes() == expected, is_idle(client))
"""
    assert python(code).split() == ["True", "True"] * 2


def test_labels_of_another_type_in_one_partition_are_told():
    da = pytest.importorskip("dask.array")
    y = np.array(["a", "b"] * 20 + [1, 2] * 20, object)
    X = np.arange(80.0)[:, np.newaxis]
    net = BackpropClassifier((2,), solver="lbfgs")
    with pytest.raises(ValueError, match=r"In partition 2 of y: labels are of another type"):
        net.fit(da.from_array(X, chunks=(20, 1)), da.from_array(y, chunks=20))
    assert not hasattr(net, "classes_")


def test_a_fit_that_waits_for_workers_says_so(python):
    code = f"""{SCRIPT}
import warnings
from fastbp.backends.dask import cluster as clusters
clusters._PATIENCE = 0.1
with cluster_of(0, processes=False) as (cluster, client):
    later(3, lambda: cluster.scale(1))
    with warnings.catch_warnings(record=True) as log:
        warnings.simplefilter("always")
        print(make_net("rprop", max_iter=2).fit(*data).n_iter_)
    print(is_idle(client))
print([str(warning.message)[:37] for warning in log if warning.category is RuntimeWarning])
"""
    assert python(code) == "2\nTrue\n['No worker of the Dask cluster takes w']\n"


def test_what_a_fit_is_told_holds_on_a_cluster(python, tmp_path):
    """Limits, starts, early stopping, callbacks, records and checkpoints, as in threads."""
    code = f"""{SCRIPT}
import contextlib, io, warnings
from helpers.callbacks import Told
warnings.simplefilter("ignore")
validation = dict(zip(("X_val", "y_val"), collections(*problem(100), n_partitions=2)))
cases = [
    ({{"n_init": 3, "keep_all": True}}, {{}}),
    ({{"record_path": True, "verbose": True}}, {{}}),
    ({{"max_fun": 4}}, {{}}),
    ({{"early_stopping": True, "n_iter_no_change": 1}}, validation),
    ({{"warm_start": True}}, {{}}),
    ({{"checkpoint": "kept", "checkpoint_every": 0.0}}, {{}}),
]

def results():
    for solver in ("rprop", "adam"):
        for parameters, given in cases:
            if solver == "adam" and "checkpoint" in parameters:
                continue
            net, told, printed = make_net(solver, max_iter=3, **parameters), Told(), io.StringIO()
            if hasattr(net, "set_callbacks"):
                net.set_callbacks(told)
            with contextlib.redirect_stdout(printed):
                net.fit(*data, **given).fit(*data, **given)
            shown = printed.getvalue()
            yield (
                vector_of(net).tobytes(), net.loss_curve_, net.stop_reason_, told.told,
                net.validation_scores_, net.init_losses_.tolist(), len(shown.splitlines()),
                getattr(net, "path_", np.empty(0)).tobytes(),
            )
    net = make_net("adam")
    for _ in range(2):
        net.partial_fit(*data)
    yield vector_of(net).tobytes()
    yield make_net("rprop", max_iter=10**6, max_time=0.5).fit(*data).stop_reason_
    make_net("rprop", max_iter=2, checkpoint="kept", checkpoint_every=0.0).fit(*data)
    yield vector_of(make_net("rprop", max_iter=4).fit(
        *data, resume_from="kept")).tobytes()

here = list(results())
with cluster_of(1, processes=False) as (cluster, client):
    for mine, theirs in zip(results(), here, strict=True):
        print(mine == theirs)
assert here[-1] == vector_of(make_net("rprop", max_iter=4).fit(*data)).tobytes()
assert here[-2] == "time"
X, y = problem()
memory = make_net("rprop", max_iter=4).fit(X, y)
np.testing.assert_allclose(np.frombuffer(here[-1]), vector_of(memory), rtol=1e-6)
"""
    assert set(python(code).split()) == {"True"}
