"""Classifiers trained on the GPU against the same ones on the CPU."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

from fastbp import BackpropClassifier, BackpropSearchCV, fit_many
from fastbp.backends.device import has_gpu, why_no_gpu

if not has_gpu():
    pytest.skip(f"needs a GPU or its simulator: {why_no_gpu()}", allow_module_level=True)

from helpers.gpu_cases import NUMPY_MAY_WARN, assert_close, assert_same_fit

pytestmark = [
    pytest.mark.gpu,
    NUMPY_MAY_WARN,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

KINDS = pytest.mark.parametrize("kind", ["binary", "three classes", "multilabel"])
#: Each way of a training through the kernels: online, a batch in tiles, all rows at a time.
MODES = pytest.mark.parametrize("mode", [
    {"solver": "sgd", "batch_size": "online"},
    {"solver": "adam", "batch_size": 5},
    {"solver": "lbfgs"},
], ids=["online", "batches", "lbfgs"])  # fmt: skip


def _nets(**parameters):
    """The same network for both devices: on the CPU, on the GPU."""
    small = {"hidden_layer_sizes": (4,), "activation": "tanh", "alpha": 0.05, "random_state": 3,
             "learning_rate_init": 0.05, "max_iter": 3}  # fmt: skip
    net = BackpropClassifier(**small | parameters)
    return net, clone(net).set_params(device="cuda")


def _assert_same(X, cpu, gpu_net, tolerance=1e-10):
    assert_same_fit(cpu, gpu_net, tolerance)
    np.testing.assert_array_equal(gpu_net.classes_, cpu.classes_)
    np.testing.assert_array_equal(gpu_net.predict(X), cpu.predict(X))
    assert_close(gpu_net.predict_proba(X), cpu.predict_proba(X), tolerance)


def _check_fits(X, y, sample_weight=None, tolerance=1e-10, **parameters):
    nets = _nets(**parameters)
    for net in nets:
        net.fit(X, y, sample_weight)
    _assert_same(X, *nets, tolerance)
    return nets[1]


@pytest.fixture
def table(rng):
    """Make a table of labels of some kind: table(kind) -> X, y."""

    def make(kind):
        X = rng.standard_normal((18, 3))
        z = X @ rng.standard_normal((3, 3))
        if kind == "binary":
            return X, np.where(z[:, 0] > 0, "yes", "no")
        if kind == "three classes":
            return X, np.array(["a", "b", "c"])[z.argmax(axis=1)]
        return X, (z > 0).astype(int)

    return make


@KINDS
@MODES
def test_fits_of_every_kind(mode, kind, table):
    X, y = table(kind)
    _check_fits(X, y, np.linspace(0.1, 2, 18), **mode)


@KINDS
@MODES
def test_fits_in_float32(mode, kind, table):
    X, y = table(kind)
    net = _check_fits(X.astype(np.float32), y, tolerance=1e-3, **mode)
    assert net.coefs_[0].dtype == np.float32


@KINDS
@pytest.mark.parametrize("early_stopping", [True, "GL5"])
@pytest.mark.parametrize("mode", [{"solver": "adam", "batch_size": 5, "n_init": 2},
                                  {"solver": "rprop", "gtol": 0.0}], ids=str)  # fmt: skip
def test_early_stopping(mode, early_stopping, kind, table):
    """The score, or minus the loss, of predictions that are made on the device."""
    X, y = table(kind)
    net = _check_fits(
        X, y, early_stopping=early_stopping, validation_fraction=0.3, n_iter_no_change=1, tol=0.2,
        max_iter=6, **mode,
    )  # fmt: skip
    assert len(net.validation_scores_) == net.n_iter_


@KINDS
@MODES
def test_several_starts(mode, kind, table):
    net = _check_fits(*table(kind), n_init=3, **mode)
    assert net.init_losses_.shape == (3,)


@pytest.mark.parametrize("parameters", [
    {"hidden_layer_sizes": (), "solver": "adam", "batch_size": "full"},
    {"class_weight": "balanced", "solver": "sgd", "batch_size": 4},
    {"class_weight": {"a": 2.0}, "solver": "sgd", "batch_size": "online"},
])  # fmt: skip
def test_parameters(parameters, table):
    _check_fits(*table("three classes"), **parameters)


def test_soft_labels(rng, table):
    X, _ = table("binary")
    y = rng.dirichlet(np.ones(4), 18)
    for batch_size in ("online", 5):
        _check_fits(X, y, soft_labels=True, solver="adam", batch_size=batch_size)


def test_sparse_inputs(table):
    X, y = table("three classes")
    X[np.abs(X) < 0.7] = 0
    for batch_size in ("online", 5):
        _check_fits(sparse.csr_matrix(X), y, solver="adam", batch_size=batch_size)


@pytest.mark.parametrize("batch_size", ["online", 6])
def test_partial_fit_with_a_change_of_device(batch_size, table):
    X, y = table("three classes")
    cpu, mixed = _nets(solver="adam", batch_size=batch_size)
    for i, device in enumerate(["cuda", "cpu", "cuda"]):
        part = slice(3 * i, 3 * i + 7)
        cpu.partial_fit(X[part], y[part], classes=["a", "b", "c", "d"])
        mixed.set_params(device=device)
        mixed.partial_fit(X[part], y[part], classes=["a", "b", "c", "d"])
        _assert_same(X, cpu, mixed)


@pytest.mark.parametrize("batch_size", ["online", 5])
def test_many_fits_in_the_same_launches(batch_size, table):
    X, y = table("three classes")
    folds = [np.arange(0, 14), np.arange(4, 18)]
    parameters = [{"alpha": 0.01}, {"alpha": 1.0, "hidden_layer_sizes": (5, 3)}]
    fitted = [
        fit_many(X, y, parameters, folds, estimator=net)
        for net in _nets(solver="adam", batch_size=batch_size)
    ]
    for cpu, on_device in zip(*(np.ravel(nets) for nets in fitted), strict=True):
        _assert_same(X, cpu, on_device)


def test_a_search(table):
    X, y = table("three classes")
    searches = [
        BackpropSearchCV(net, {"alpha": [0.01, 1.0]}, cv=2).fit(X, y)
        for net in _nets(solver="adam", batch_size="online")
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_allclose(scores[1], scores[0])
    _assert_same(X, *(search.best_estimator_ for search in searches))
