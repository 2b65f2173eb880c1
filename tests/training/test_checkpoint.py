"""A training that is cut short goes on from its checkpoint to the bits of one that was not."""

import json
import os

import numpy as np
import pytest

from fastbp import Activation, BackpropClassifier, load, save
from fastbp.solvers import SOLVERS
from fastbp.storage import tensor_file
from fastbp.storage.tensor_file import read_file, write_file
from helpers.fits import MODES, SHORT, assert_same, fitted_attributes, make_net
from helpers.own_records import gauss, gauss_slope
from helpers.saved import assert_same_model

pytestmark = SHORT


KEPT = [mode for mode, chosen in MODES.items() if SOLVERS[chosen["solver"]].can_be_kept]


class Killed(BaseException):
    """What a test kills a training with."""


@pytest.fixture
def cut_short(tmp_path, monkeypatch):
    """Fit, and kill it after so many checkpoints: cut_short(net, n, X, y, ...) -> file."""

    def run(net, n_written, *data, **more):
        path, written = tmp_path / "checkpoint", []
        write = tensor_file.replace_file

        def replace(*arguments):
            write(*arguments)
            written.append(1)
            if len(written) == n_written:
                raise Killed

        net.set_params(checkpoint=path, checkpoint_every=0)
        with monkeypatch.context() as patch:
            patch.setattr(tensor_file, "replace_file", replace)
            with pytest.raises(Killed):
                net.fit(*data, **more)
        return path

    return run


def assert_same_end(net, other):
    first, second = (fitted_attributes(each) for each in (net, other))
    assert_same(first, second)
    assert (net._state is None) == (other._state is None)
    if net._state is not None:
        assert_same_model(net._state.moments, other._state.moments)
        assert net._state.rule == other._state.rule


@pytest.mark.parametrize("mode", KEPT)
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["f64", "f32"])
def test_the_end_has_the_bits_of_a_training_that_was_not_cut_short(mode, dtype, problem, cut_short):
    X, y = problem(dtype=dtype)
    whole = make_net(mode).fit(X, y)
    path = cut_short(make_net(mode, max_time=100), 8, X, y)  # an epoch a call
    resumed = make_net(mode, max_time=100).fit(X, y, resume_from=path)
    assert resumed.n_iter_ > 8
    assert_same_end(resumed, whole)
    if SOLVERS[resumed.solver].is_stochastic:
        for net in (whole, resumed):
            net.partial_fit(X, y)
        assert_same_end(resumed, whole)


@pytest.mark.parametrize(
    "parameters",
    [
        {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 3},
        {"early_stopping": "GL5", "validation_fraction": 0.3},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2},
        {"solver": "sgd", "learning_rate": "invscaling"},
        {"shuffle": False, "gtol": 1e-9},
        {"scale_target": True, "loss": "huber", "batch_size": 7},
        {"activation": Activation("gauss", gauss, gauss_slope)},
        {"solver": "lm", "alpha": "bayes", "scale_target": True},
        {"solver": "lm", "early_stopping": "UP8"},
        {"solver": "lm", "lm_acceleration": True},
        {"solver": "lm", "alpha": "bayes", "lm_acceleration": True},
        {"solver": "bfgs", "early_stopping": True, "validation_fraction": 0.3, "gtol": 1e-9},
        {"solver": "cg", "cg_update": "hestenes-stiefel", "loss": "huber"},
        {"solver": "scg", "activation": Activation("gauss", gauss, gauss_slope)},
        {"solver": "rprop", "n_iter_no_change": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("n_written", [1, 2, 6])
def test_whatever_the_parameters(parameters, n_written, problem, cut_short):
    X, y = problem(n_samples=97)
    w = np.linspace(0, 2, len(y))
    make = {"max_iter": 12, "max_time": 100} | parameters
    whole = make_net("adam", **make).fit(X, y, w)
    path = cut_short(make_net("adam", **make), n_written, X, y, w)
    assert_same_end(make_net("adam", **make).fit(X, y, w, resume_from=path), whole)


@pytest.mark.parametrize("seed", [None, np.random.RandomState, np.random.PCG64])
def test_generators_of_every_kind(seed, problem, cut_short):
    """With None the generator is NumPy's own; it is the file that says what the fit began with."""
    X, y = problem()
    make = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 9, "max_time": 100}

    def generator():
        np.random.seed(5)  # noqa: NPY002
        return None if seed is None else np.random.RandomState(5)

    if seed is np.random.PCG64:
        net = make_net("adam", random_state=np.random.RandomState(seed(5)), checkpoint="there")
        with pytest.raises(ValueError, match="PCG64"):
            net.set_params(checkpoint_every=0).fit(X, y)
        return
    whole = make_net("adam", random_state=generator(), **make).fit(X, y)
    path = cut_short(make_net("adam", random_state=generator(), **make), 4, X, y)
    np.random.seed(77)  # noqa: NPY002
    given = None if seed is None else np.random.RandomState(9)
    assert_same_end(make_net("adam", random_state=given, **make).fit(X, y, resume_from=path), whole)
    if given is not None:  # it has advanced as the other has
        assert given.rand() == whole.random_state.rand()


def test_a_classifier_with_rows_to_validate_on(problem, cut_short):
    X, _ = problem()
    y = np.array(["a", "b", "c"])[np.arange(len(X)) % 3]
    make = {"hidden_layer_sizes": (5,), "max_iter": 12, "random_state": 0, "early_stopping": True}
    given = {"X_val": X[:20], "y_val": y[:20]}
    whole = BackpropClassifier(**make).fit(X, y, **given)
    path = cut_short(BackpropClassifier(**make), 5, X, y, **given)
    assert_same_end(BackpropClassifier(**make).fit(X, y, **given, resume_from=path), whole)
    with pytest.raises(ValueError, match="other data"):
        BackpropClassifier(**make).fit(X, y, X_val=X[:19], y_val=y[:19], resume_from=path)


def test_a_longer_training_that_is_cut_short_twice(problem, cut_short):
    X, y = problem()
    whole = make_net("adam", max_iter=20).fit(X, y)
    path = cut_short(make_net("adam", max_iter=10, max_time=100), 5, X, y)
    path = cut_short(make_net("adam", max_iter=20, max_time=100), 3, X, y, resume_from=path)
    resumed = make_net("adam", max_iter=20).fit(X, y, resume_from=path)
    assert_same_end(resumed, whole)


def test_a_checkpoint_changes_no_bit_and_is_written_when_it_is_due(problem, tmp_path):
    X, y = problem()
    path = tmp_path / "checkpoint"
    whole = make_net("adam").fit(X, y)
    never = make_net("adam", checkpoint=path, checkpoint_every=1000).fit(X, y)
    assert not path.exists()
    always = make_net("adam", checkpoint=str(path), checkpoint_every=0).fit(X, y)
    assert path.exists()
    assert_same_end(never, whole)
    assert_same_end(always, whole)
    path.unlink()
    always.partial_fit(X, y)
    assert not path.exists()


def test_other_data_and_parameters_are_refused_by_name(problem, cut_short):
    X, y = problem()
    path = cut_short(make_net("adam", max_time=100), 5, X, y)

    def refuses(message, *data, **parameters):
        net = make_net("adam", **parameters)
        with pytest.raises(ValueError, match=message):
            net.fit(*data, resume_from=path)
        assert not hasattr(net, "coefs_")

    refuses("other data", X + 1, y)
    refuses("other data", X, y, np.linspace(1, 2, len(y)))
    refuses("other data", X[:-1], y[:-1])
    refuses("other data", X[:, 1:], y)
    refuses("alpha=0.0001, and now alpha=0.5", X, y, alpha=0.5)
    refuses("solver='adam', and now solver='sgd'", X, y, solver="sgd")
    refuses(
        r"hidden_layer_sizes=\(6,\), and now hidden_layer_sizes=\(7,\)",
        X,
        y,
        hidden_layer_sizes=(7,),
    )
    refuses("another dtype", X.astype(np.float32), y)
    refuses("raise max_iter", X, y, max_iter=2)
    refuses("solver='adam', and now solver='lm'", X, y, solver="lm")
    refuses("resume_from=.*solvers adam, bfgs, cg.*'lbfgs' keeps.*SciPy", X, y, solver="lbfgs")
    refuses("n_init=2", X, y, n_init=2)


def test_fits_that_cannot_be_kept_are_refused(problem, tmp_path):
    X, y = problem()
    for parameters, message in (
        ({"solver": "lbfgs"}, "checkpoint=.*solvers adam, bfgs, cg.*'lbfgs' keeps.*SciPy"),
        ({"n_init": 3}, "one start, and n_init=3"),
        ({"checkpoint": 3}, "'checkpoint' parameter"),
        ({"checkpoint": tmp_path / "no folder" / "kept"}, "checkpoint=.*folder.*Make it"),
        ({"checkpoint_every": -1}, "'checkpoint_every' parameter"),
    ):
        net = make_net("adam", **{"checkpoint": tmp_path / "kept"} | parameters)
        with pytest.raises(ValueError, match=message):
            net.fit(X, y)


def test_other_files_and_damaged_ones(problem, cut_short, tmp_path):
    X, y = problem()
    path = cut_short(make_net("adam"), 1, X, y)
    with pytest.raises(ValueError, match="holds a checkpoint, and a model is wanted"):
        load(path)
    content = path.read_bytes()
    for damaged in (content[:-1], content[:500] + b"!" + content[501:], b"", b"{}"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="resume_from=.*cannot be gone on from"):
            make_net("adam").fit(X, y, resume_from=path)
    net = make_net("adam", checkpoint=tmp_path / "kept").fit(X, y)
    save(net, path)
    assert load(path).checkpoint is None  # no file says what a fit is to overwrite
    with pytest.raises(ValueError, match="holds a model, and a checkpoint is wanted"):
        net.fit(X, y, resume_from=path)
    with pytest.raises(FileNotFoundError):
        net.fit(X, y, resume_from=tmp_path / "nothing")


@pytest.mark.parametrize("solver", ["adam", "bfgs", "scg", "rprop"])
def test_forged_states_are_refused_by_name(solver, problem, cut_short):
    """Whoever can make a checksum can write such a file."""
    X, y = problem()
    path = cut_short(make_net(solver, max_time=100), 5, X, y)
    document, arrays = read_file(path, "checkpoint")
    n_arrays = 0
    for name in arrays:
        if name.split(".")[0] in ("history", "optimiser") and "moments" not in name:
            continue
        n_arrays += 1
        for wrong in (arrays[name][:-1], arrays[name].ravel()[:1], arrays[name].astype(np.int8)):
            write_file(path, "checkpoint", document, arrays | {name: wrong})
            with pytest.raises(ValueError, match="resume_from=.*cannot be gone on from"):
                make_net(solver).fit(X, y, resume_from=path)
    assert n_arrays > 4
    training = document["training"]
    for part in training:
        for wrong in ({}, [], None, {**training[part], "more": 1}):
            write_file(
                path, "checkpoint", document | {"training": training | {part: wrong}}, arrays
            )
            with pytest.raises(ValueError, match="resume_from=.*cannot be gone on from"):
                make_net(solver).fit(X, y, resume_from=path)
    write_file(path, "checkpoint", document, arrays)
    make_net(solver).fit(X, y, resume_from=path)


def test_a_full_disk_is_an_error_and_the_old_file_stays(problem, cut_short, monkeypatch):
    X, y = problem()
    path = cut_short(make_net("adam", max_time=100), 3, X, y)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    net = make_net("adam", checkpoint=path, checkpoint_every=0)
    with pytest.raises(OSError, match="No space left on device; it is not written"):
        net.fit(X, y, resume_from=path)
    assert not hasattr(net, "coefs_")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


_KILLED = """
import json, os, signal, sys, time, warnings
import numpy as np
from fastbp import BackpropRegressor, save
from fastbp.storage.tensor_file import read_file
from fastbp.storage.values import decode

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = rng.standard_normal((300, 4))
y = np.tanh(X @ rng.standard_normal(4))

def train(checkpoint="kept"):
    net = BackpropRegressor(hidden_layer_sizes=(10,), activation="tanh", max_iter=600, tol=0,
        n_iter_no_change=1000, gtol=0, random_state=3, early_stopping=True, solver=sys.argv[1],
        checkpoint=checkpoint, checkpoint_every=0, verbose=checkpoint is not None)
    return net.fit(X, y, resume_from=checkpoint if os.path.exists("kept") else None)

whole = train(checkpoint=None)  # and all is compiled
save(whole, "whole")
iterations = []
for _ in range(int(sys.argv[2])):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        sys.stdout = os.fdopen(write, "w", 1)  # a line an iteration, and one of its score
        train()
        os._exit(1)
    os.close(write)
    with os.fdopen(read) as lines:
        for _ in range(rng.integers(1, 25)):
            assert lines.readline()
        time.sleep(rng.uniform(0, 0.01))
        os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    document, arrays = read_file("kept", "checkpoint")
    training = document["training"]
    history = training["history"] if "history" in training else training["optimiser"]["history"]
    curve = decode(history["loss_curve"], arrays)
    assert curve.tolist() == whole.loss_curve_[: len(curve)]
    iterations.append(len(curve))
with open(os.devnull, "w") as sys.stdout:
    save(train(), "resumed")
sys.stdout = sys.__stdout__
print(json.dumps(iterations))
"""


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, and kills the forks")
@pytest.mark.parametrize("solver", ["adam", "bfgs"])
def test_a_training_that_is_killed_fifty_times_comes_to_the_same_bits(solver, python, tmp_path):
    """About 15 s: the trainings that are killed are forks of one process that has compiled all."""
    iterations = json.loads(python(_KILLED, arguments=[solver, "50"]))
    assert len(iterations) == 50
    assert iterations == sorted(iterations)
    assert iterations[-1] > 100
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "whole", "resumed"}
    whole, resumed = load(tmp_path / "whole"), load(tmp_path / "resumed")
    assert_same_end(resumed, whole)
    assert resumed.n_iter_ == whole.n_iter_
