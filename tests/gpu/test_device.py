"""Which device computes, and what is said where there is no GPU; what needs none of its parts.

No test here runs anything on a GPU.
"""

import pickle
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

import fastbp
from fastbp import BackpropRegressor, Network
from fastbp.backends import device
from fastbp.backends.gpu.row_orders import Order, weights_of_batches
from fastbp.model.activations import ACTIVATIONS
from fastbp.model.data import as_data
from fastbp.model.losses import LOSSES
from fastbp.model.shuffles import Shuffles

PACKAGE = Path(fastbp.__file__).parent
needs_numba_cuda = pytest.mark.skipif(
    find_spec("numba_cuda") is None, reason="numba-cuda is not installed"
)
SHORT = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def _net(**parameters):
    defaults = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0}
    return BackpropRegressor(**defaults | parameters)


def _bits(net):
    return b"".join(array.tobytes() for array in (*net.coefs_, *net.intercepts_))


# Where there is no GPU.


@pytest.fixture
def without():
    """Take away a part of what a GPU needs: without("package"), "driver" or "device"."""
    with pytest.MonkeyPatch.context() as patch:

        def take_away(part):
            device.why_no_gpu.cache_clear()
            if part == "package":
                patch.setattr(device, "find_spec", lambda name: None)
                return
            from fastbp.machine import gpu

            class Gpus:
                def __iter__(self):
                    if part == "driver":
                        raise RuntimeError("Error at driver init: no such\n  library")
                    return iter(())

            patch.setattr(gpu, "_cuda", SimpleNamespace(gpus=Gpus()))

        yield take_away
    device.why_no_gpu.cache_clear()


PARTS = {
    "package": r"the package numba-cuda is not installed.*pip install 'fastbp\[cuda13\]'",
    "driver": r"the NVIDIA driver did not start \(Error at driver init: no such library\)"
    r".*Install a driver.*nvidia-smi",
    "device": "there is no NVIDIA GPU that this process can see.*CUDA_VISIBLE_DEVICES",
}
EVERY_PART = pytest.mark.parametrize(
    "part",
    ["package", *(pytest.param(part, marks=needs_numba_cuda) for part in ("driver", "device"))],
)
SOLVERS = [
    {"solver": "sgd", "batch_size": 1},
    {"solver": "adam", "batch_size": 16},
    {"solver": "lbfgs"},
]
EVERY_SOLVER = pytest.mark.parametrize("parameters", SOLVERS, ids=str)


@EVERY_PART
@EVERY_SOLVER
def test_the_gpu_asked_for_in_vain_says_what_is_missing(part, parameters, without, problem):
    without(part)
    with pytest.raises(RuntimeError, match="device='cuda' needs a GPU, but") as refusal:
        _net(device="cuda", **parameters).fit(*problem())
    assert re.search(PARTS[part], str(refusal.value))
    assert "device='auto' takes the CPU" in str(refusal.value)
    assert ".." not in str(refusal.value)
    assert not device.has_gpu()


@EVERY_PART
@EVERY_SOLVER
@SHORT
def test_auto_is_the_cpu_to_the_last_bit(part, parameters, without, problem):
    without(part)
    X, y = problem()
    nets = [_net(device=name, **parameters).fit(X, y) for name in ("cpu", "auto")]
    assert _bits(nets[0]) == _bits(nets[1])
    assert nets[0].loss_curve_ == nets[1].loss_curve_
    assert device.resolve("auto") == device.resolve("cpu") == "cpu"


@pytest.mark.subprocess
def test_without_the_package_all_but_the_gpu_works(python):
    """`fastbp.backends.gpu.kernels` cannot be imported there, and nothing tries to."""
    code = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numba_cuda", "cuda") or name.startswith("numba.cuda"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "numba_cuda" else real(name, *rest)
import numpy as np, warnings
warnings.simplefilter("ignore")
import fastbp
from fastbp import BackpropRegressor
from fastbp.backends import device
X = np.random.RandomState(0).standard_normal((50, 3)); y = X.sum(axis=1)
nets = [BackpropRegressor("squared_error", (5,), max_iter=3, random_state=0, device=name).fit(X, y)
        for name in ("cpu", "auto")]
assert (nets[0].coefs_[0] == nets[1].coefs_[0]).all()
try:
    BackpropRegressor("squared_error", (5,), max_iter=3, device="cuda").fit(X, y)
except RuntimeError as error:
    print(error)
"""
    assert re.search(PARTS["package"], python(code))


@pytest.mark.subprocess
def test_the_cpu_imports_nothing_of_the_gpu(python):
    """Neither at import nor in a fit; numba itself imports what it will."""
    code = """
import sys
import numba
def of_gpu():
    names = ("numba.cuda", "numba_cuda", "cuda", "fastbp.backends.gpu", "fastbp.machine.gpu",
             "fastbp.machine.gpu_kernels", "fastbp.machine.elementary_gpu",
             "fastbp.training.side_by_side")
    return {each for each in sys.modules if any((each + ".").startswith(n + ".") for n in names)}
before = of_gpu()
import fastbp
imported = of_gpu() - before
import numpy as np, warnings
warnings.simplefilter("ignore")
from fastbp import BackpropRegressor, BackpropSearchCV, fit_many
X = np.random.RandomState(0).standard_normal((50, 3)); y = X.sum(axis=1)
net = BackpropRegressor("squared_error", (5,), max_iter=3, random_state=0)
for solver in ("adam", "lbfgs", "lm"):
    net.set_params(solver=solver).fit(X, y).predict(X)
net.set_params(solver="sgd", early_stopping=True).fit(X, y)
fit_many(X, y, [{}, {"alpha": 1}], estimator=net)
BackpropSearchCV(net, {"alpha": [0, 1]}, cv=2).fit(X, y)
print(sorted(imported), sorted(of_gpu() - before))
"""
    assert python(code).strip() == "[] []"


def test_two_files_alone_know_numbas_cuda():
    knowing = {
        source.relative_to(PACKAGE).as_posix()
        for source in PACKAGE.rglob("*.py")
        if re.search(
            r"numba\.cuda|from numba import .*cuda|^\s*(import|from) (numba_cuda|cuda)\b",
            source.read_text(),
            re.MULTILINE,
        )
    }
    assert knowing == {"machine/gpu.py", "machine/lane.py"}


def test_two_modules_alone_know_where_the_kernels_are_launched():
    """So that a call of the shim that changes is a change there."""
    launching = {
        source.relative_to(PACKAGE).as_posix()
        for source in PACKAGE.rglob("*.py")
        if re.search(r"gpu\.launch\(", source.read_text())
    }
    assert launching == {"device_table.py", "fleet.py"}


# The parameter.


@pytest.mark.parametrize("name", ["gpu", "CUDA", "cuda:0", None, 0, True])
def test_another_device_is_a_wrong_parameter(name, problem):
    with pytest.raises(InvalidParameterError, match="'device' parameter.*'cpu'"):
        _net(device=name).fit(*problem())


def test_lm_is_for_the_cpu_and_auto_takes_it(without, problem):
    without("package")
    X, y = problem()
    with pytest.raises(ValueError, match=r"solver='lm'.*device='cuda'.*device='cpu' or 'auto'"):
        _net(solver="lm", device="cuda").fit(X, y)
    cpu, auto = (_net(solver="lm", device=name, tol=10.0).fit(X, y) for name in ("cpu", "auto"))
    assert _bits(cpu) == _bits(auto)


def test_lm_with_auto_is_on_the_cpu_even_where_there_is_a_gpu(problem, monkeypatch):
    monkeypatch.setattr("fastbp.training.task.resolve", lambda name: "cuda")
    X, y = problem()
    cpu, auto = (_net(solver="lm", device=name, tol=10.0).fit(X, y) for name in ("cpu", "auto"))
    assert _bits(cpu) == _bits(auto)


@pytest.mark.parametrize("parameters", [*SOLVERS, {"solver": "lm"}], ids=str)
@pytest.mark.parametrize("is_fitted", [False, True])
@SHORT
def test_an_estimator_is_unchanged_after_such_an_error(parameters, is_fitted, without, problem):
    without("package")
    X, y = problem()
    net = _net(**parameters)
    if is_fitted:
        net.fit(X, y)
    net.set_params(device="cuda")
    before = pickle.dumps(net.__dict__)
    with pytest.raises((RuntimeError, ValueError), match="device='cuda'"):
        net.fit(X[:, :3], y)
    assert pickle.dumps(net.__dict__) == before


@pytest.mark.parametrize("name", device.DEVICES)
def test_the_device_is_a_parameter_like_others(name):
    net = _net(device=name)
    assert net.get_params()["device"] == name
    assert clone(net).device == name
    assert pickle.loads(pickle.dumps(net)).device == name
    assert BackpropRegressor().device == "cpu"
    assert f"device='{name}'" in repr(net) or name == "cpu"


@SHORT
def test_a_net_said_to_be_for_the_gpu_predicts_without_one(without, problem):
    """So a model that was trained on a machine with a GPU is of use on one without."""
    without("package")
    X, y = problem()
    net = _net(tol=10.0).fit(X, y)
    expected = net.predict(X)
    moved = pickle.loads(pickle.dumps(net.set_params(device="cuda")))
    np.testing.assert_array_equal(moved.predict(X), expected)


# Where a network lies on the device.

NETWORKS = [
    Network((1, 1)),
    Network((3, 2), loss="poisson"),
    Network((4, 4, 4), "tanh"),
    Network((5, 7, 3, 2), "logistic", output_activation="tanh"),
    Network((1, 9, 1), "relu", "poisson", "softplus"),
    Network((17, 33, 9, 1), "softplus"),
    Network((2, 1, 1, 8, 5), "identity"),
    Network((64, 100, 31), "tanh"),
]
EVERY_NETWORK = pytest.mark.parametrize("network", NETWORKS, ids=lambda n: str(n.layer_sizes))
EVERY_PLACEMENT = pytest.mark.parametrize("kind", ["sample", "tile"])
N_THREADS = 64


@cache
def _plan():
    pytest.importorskip("numba_cuda", reason="numba-cuda is not installed")
    from fastbp.backends.gpu.kernels import plan

    return plan


def _placement(kind, network):
    if kind == "tile":
        return _plan().tile_placement(network)
    return _plan().sample_placement(network, N_THREADS)


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
def test_kernels_find_each_layer_where_the_plan_says(network, kind):
    plan = _plan()
    placement = _placement(kind, network)
    vector = np.random.default_rng(0).standard_normal(network.n_parameters)
    placed = placement.place(vector)
    table = placement.plan
    assert table.shape == (len(network.shapes) + 1, plan.N_FIELDS)
    assert table[0, plan.N_LAYERS] == len(network.shapes)
    assert list(LOSSES)[table[0, plan.LOSS]] == network.loss
    belongs = LOSSES[network.loss].output_activation == network.last_activation
    assert table[0, plan.CANONICAL] == belongs
    coefs, intercepts = network.unpack(vector)
    for fields, coef, intercept in zip(table[1:], coefs, intercepts, strict=True):
        n_in, n_out = coef.shape
        assert (fields[plan.N_IN], fields[plan.N_OUT]) == coef.shape
        length = fields[plan.STRIDE]
        start = fields[plan.WEIGHTS]
        rows = placed[start : start + n_in * length].reshape(n_in, length)
        np.testing.assert_array_equal(rows[:, :n_out], coef)
        assert not rows[:, n_out:].any()
        assert start + n_in * length <= table[0, plan.N_DECAYED]
        start = fields[plan.BIASES]
        np.testing.assert_array_equal(placed[start : start + n_out], intercept)
        assert start >= table[0, plan.N_DECAYED]
    names = [network.activation] * (len(network.shapes) - 1) + [network.last_activation]
    assert [list(ACTIVATIONS)[code] for code in table[1:, plan.ACTIVATION]] == names


@EVERY_NETWORK
def test_tiles_have_transposed_copies_of_all_layers_but_the_first(network):
    plan = _plan()
    placement = plan.tile_placement(network)
    vector = np.random.default_rng(0).standard_normal(network.n_parameters)
    placed, (coefs, _) = placement.place(vector), network.unpack(vector)
    n_copied = 0
    for fields, coef in zip(placement.plan[2:], coefs[1:], strict=True):
        n_in, n_out = coef.shape
        length, start = fields[plan.TRANSPOSED_STRIDE], fields[plan.TRANSPOSED]
        rows = placed[start : start + n_out * length].reshape(n_out, length)
        np.testing.assert_array_equal(rows[:, :n_in], coef.T)
        assert not rows[:, n_in:].any()
        places = fields[plan.WEIGHTS] + np.arange(n_in)[:, None] * fields[plan.STRIDE]
        copies = placement.copies[places + np.arange(n_out)]
        np.testing.assert_array_equal(placed[copies], coef)
        n_copied += coef.size
    assert (placement.copies >= 0).sum() == n_copied
    assert (plan.sample_placement(network, N_THREADS).copies == -1).all()


@EVERY_NETWORK
def test_tiles_begin_where_sixteen_bytes_begin(network):
    """All that is loaded four numbers at a time: weights, copies, biases and rows of units."""
    plan = _plan()
    placement = plan.tile_placement(network)
    fields = placement.plan[1:]
    aligned = [plan.WEIGHTS, plan.STRIDE, plan.BIASES, plan.TRANSPOSED, plan.TRANSPOSED_STRIDE]
    aligned += [plan.INPUTS, plan.OUTPUTS, plan.DELTAS]
    assert not (fields[:, aligned] % 4).any()
    assert (fields[:, plan.STRIDE] >= fields[:, plan.N_OUT]).all()
    assert placement.n_moved % 4 == placement.size % 4 == placement.n_units % 4 == 0


@EVERY_NETWORK
def test_rows_of_a_samples_weights_are_odd(network):
    plan = _plan()
    fields = plan.sample_placement(network, N_THREADS).plan[1:]
    assert (fields[:, plan.STRIDE] % 2 == 1).all()
    assert (fields[:, plan.STRIDE] - fields[:, plan.N_OUT] <= 1).all()


@EVERY_NETWORK
@pytest.mark.parametrize("n_threads", [4, 32, 256])
def test_a_blocks_threads_share_a_units_sum(network, n_threads):
    plan = _plan()
    fields = plan.sample_placement(network, n_threads).plan[1:]
    n_in, n_out, n_sharers = (fields[:, i] for i in (plan.N_IN, plan.N_OUT, plan.N_SHARERS))
    assert (n_sharers >= 1).all()
    assert (n_sharers <= n_in).all()
    assert (n_sharers * n_out <= np.maximum(n_threads, n_out)).all()


@EVERY_NETWORK
@EVERY_PLACEMENT
def test_no_two_units_share_a_place(network, kind):
    plan = _plan()
    placement = _placement(kind, network)
    in_tiles = kind == "tile"
    used = np.zeros(placement.n_units, int)
    n_inputs = network.layer_sizes[0]
    if in_tiles:
        used[:n_inputs] += 1
    below = 0
    for layer, fields in enumerate(placement.plan[1:]):
        if layer > 0 or in_tiles:
            assert fields[plan.INPUTS] == below
        for name in (plan.OUTPUTS, plan.DELTAS):
            n_out = fields[plan.N_OUT]
            n_out = -(-n_out // 4) * 4 if in_tiles else n_out
            used[fields[name] : fields[name] + n_out] += 1
        below = fields[plan.OUTPUTS]
    assert used.max() == 1
    assert fields[plan.DELTAS] + n_out == placement.n_units


# The order of rows, drawn ahead.


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
    got, counted = weights_of_batches(data, rows, batch_size)
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
        order = Order(rows, shuffles)
        order.draw(2)
        order.draw(5)
        order.draw(4)
        assert len(order.rows) == 5
        np.testing.assert_array_equal(rows, np.arange(300))
        order.settle(rows, shuffles, n_made)
    np.testing.assert_array_equal(order.rows[:n_made], epochs)
    np.testing.assert_array_equal(rows, epochs[-1])
    if generator is not None:
        np.testing.assert_array_equal(generator.randint(2**31, size=700), following)


def test_members_that_share_an_order_end_where_each_alone_does():
    """One draws; the others have generators of their own in the same state, and stop earlier."""
    generators = [np.random.RandomState(3) for _ in range(3)]
    rows = [np.arange(50) for _ in generators]
    shuffles = [Shuffles(generator).__enter__() for generator in generators]
    order = Order(rows[0], shuffles[0])
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
            order = Order(rows, shuffles)
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
