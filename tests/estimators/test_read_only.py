"""Data that lie in a file, or may not be written to, are trained on where they are."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from fastbp import BackpropClassifier
from fastbp.model.data import as_data
from helpers.fits import SHORT, make_net, vector_of
from helpers.guards import NEEDS_A_COMPILER

pytestmark = SHORT


@pytest.fixture
def in_files(problem, tmp_path):
    """Inputs, targets and weights, and the same as read-only memory maps with their files."""
    X, y = problem(dtype=np.float32)
    arrays = [X, y, np.linspace(0.5, 2, len(y), dtype=np.float32)]
    files = [tmp_path / f"{name}.npy" for name in ("X", "y", "weights")]
    for file, array in zip(files, arrays, strict=True):
        np.save(file, array)
    return arrays, [np.load(file, mmap_mode="r") for file in files], files


@pytest.mark.parametrize("mode", ["sgd-online", "adam", "sgd-full", "lbfgs", "lm"])
def test_a_fit_of_memory_maps_has_the_same_bits_and_writes_nothing(mode, in_files):
    (X, y, weights), (mapped_X, mapped_y, mapped_weights), files = in_files
    before = [hashlib.sha256(file.read_bytes()).digest() for file in files]
    expected = make_net(mode).fit(X, y, weights)
    net = make_net(mode).fit(mapped_X, mapped_y, mapped_weights)
    np.testing.assert_array_equal(vector_of(net), vector_of(expected))
    np.testing.assert_array_equal(net.predict(mapped_X), expected.predict(X))
    assert before == [hashlib.sha256(file.read_bytes()).digest() for file in files]


def test_a_classifier_writes_nothing(in_files):
    (X, y, _), (mapped_X, _, _), (file, *_) = in_files
    before = file.read_bytes()
    net = BackpropClassifier((5,), max_iter=3, random_state=0)
    net.fit(mapped_X, y > 0).partial_fit(mapped_X, y > 0)
    assert net.predict_proba(mapped_X).shape == (len(X), 2)
    assert file.read_bytes() == before


def test_a_frame_of_one_block_is_not_copied(rng):
    table = rng.standard_normal((50, 3))
    frame = pd.DataFrame(table, copy=False)
    assert np.shares_memory(frame.to_numpy(), table)
    assert np.shares_memory(as_data(frame.to_numpy()).X, table)


@NEEDS_A_COMPILER
def test_read_only_tables_compile_no_kernel_anew(problem):
    from fastbp.backends.cpu import kernels

    X, y = problem()
    used = [kernels.predict, kernels.batch_epochs, kernels.accumulate]
    frame = pd.DataFrame(X, columns=list("abcde"))
    expected = make_net("adam").fit(X, y).predict(X)
    make_net("lbfgs").fit(X, y)
    n_compiled = [len(kernel.signatures) for kernel in used]
    np.testing.assert_array_equal(make_net("adam").fit(frame, y).predict(frame), expected)
    X.flags.writeable = y.flags.writeable = False
    np.testing.assert_array_equal(make_net("adam").fit(X, y).predict(X), expected)
    make_net("lbfgs").fit(X, y)
    assert [len(kernel.signatures) for kernel in used] == n_compiled


MEMORY = """
import sys, threading, time, warnings
import numpy as np
from fastbp import BackpropRegressor

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.002)

warnings.simplefilter("ignore")
net = BackpropRegressor(hidden_layer_sizes=(10,), max_iter=1, random_state=0, solver=sys.argv[1])
few = np.random.default_rng(0).standard_normal((300, 10)).astype(np.float32)
net.fit(few, few[:, 0]).predict(few)  # compiles
n_rows = 2_000_000
X = np.lib.format.open_memmap("X.npy", "w+", np.float32, (n_rows, 10))
for start in range(0, n_rows, 100_000):
    X[start:start + 100_000] = np.random.default_rng(start).standard_normal((100_000, 10))
X.flush()
X = np.load("X.npy", mmap_mode="r")
y = np.ascontiguousarray(X[:, 0])
before = anonymous()
peak = [before]
threading.Thread(target=watch, daemon=True).start()
net.fit(X, y)
in_fit, peak[0] = peak[0] - before, before
net.predict(X)
print(in_fit, peak[0] - before, X.nbytes / 2**20)
"""


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_memory_does_not_grow_by_the_table(solver, python):
    in_fit, in_predict, table = map(float, python(MEMORY, arguments=[solver]).split())
    order_of_rows = 8 * 2_000_000 / 2**20
    assert table > 70
    assert in_fit < order_of_rows + 30
    assert in_predict < 40
