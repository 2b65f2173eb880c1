"""scikit-learn's own checks of an estimator, for every solver and mode; pipelines, searches, files.

The checks' small problems fit into one mini-batch where they compare weights with repetitions, and
go beyond it elsewhere.
"""

import copy
import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastbp import BackpropClassifier, BackpropRegressor
from helpers.cases import BATCH_SOLVERS
from helpers.guards import TOO_SLOW_IN_PYTHON

_ONLINE_REASON = (
    "A weight scales one step of online gradient descent, a repeated row makes several steps: the "
    "two differ by definition."
)
_EXPECTED_ONLINE = {
    "check_sample_weight_equivalence_on_dense_data": _ONLINE_REASON,
    "check_sample_weight_equivalence_on_sparse_data": _ONLINE_REASON,
}


def _expected_failures(estimator):
    return _EXPECTED_ONLINE if estimator.batch_size == "online" else {}


@TOO_SLOW_IN_PYTHON
@parametrize_with_checks(
    [
        BackpropRegressor(max_iter=100, solver="sgd", batch_size=40),
        # One check has targets in the hundreds: online, the default rate would diverge there.
        BackpropRegressor(
            max_iter=100,
            solver="sgd",
            batch_size="online",
            momentum=0,
            learning_rate_init=2e-4,
        ),
        BackpropRegressor(max_iter=100, solver="sgd", batch_size="full"),
        BackpropRegressor(max_iter=100, solver="adam"),
        # Steepest descent crosses a valley again and again; a rounding error grows each time, and
        # some checks compare fits that differ by rounding.
        *(
            BackpropRegressor(
                hidden_layer_sizes=(20,) if solver == "lm" else (100,),
                max_iter=20 if solver == "gd" else 100,
                solver=solver,
            )
            for solver in BATCH_SOLVERS
        ),
        BackpropRegressor(hidden_layer_sizes=(10,), max_iter=100, solver="lm", alpha="bayes"),
        BackpropRegressor(max_iter=50, solver="cg", n_init=3, n_jobs=2),
        BackpropClassifier(max_iter=100, solver="sgd", batch_size=40),
        BackpropClassifier(max_iter=100, solver="sgd", batch_size="online"),
        BackpropClassifier(max_iter=100, solver="sgd", batch_size="full"),
        BackpropClassifier(max_iter=100, solver="adam"),
        # Without decay bfgs and lbfgs make some probabilities 0 and 1, which checks do not expect;
        # in scg, which takes differences of gradients, a rounding error grows, too.
        *(
            BackpropClassifier(
                max_iter={"gd": 20, "scg": 8}.get(solver, 100),
                solver=solver,
                alpha=0.1 if "bfgs" in solver else 1e-4,
            )
            for solver in BATCH_SOLVERS
            if solver != "lm"
        ),
        BackpropClassifier(max_iter=50, solver="cg", n_init=3, n_jobs=2),
    ],
    expected_failed_checks=_expected_failures,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:batch_size=")
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X, (y - y.mean()) / y.std()


def _net(**parameters):
    defaults = {"hidden_layer_sizes": (8,), "max_iter": 30, "random_state": 0}
    return BackpropRegressor(**defaults | parameters)


@TOO_SLOW_IN_PYTHON
@pytest.mark.parametrize("backend", [pytest.param("loky", marks=pytest.mark.slow), "threading"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_grid_search_finds_the_same_in_any_backend(diabetes, backend):
    model = make_pipeline(StandardScaler(), _net(activation="tanh", solver="sgd"))
    grid = {"backpropregressor__batch_size": ["online", 32, "full"]}
    serial = GridSearchCV(model, grid, cv=3).fit(*diabetes)
    with joblib.parallel_config(backend=backend, n_jobs=2):
        search = GridSearchCV(model, grid, cv=3).fit(*diabetes)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"]
    )


@TOO_SLOW_IN_PYTHON
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scaled_inputs_and_targets_in_a_pipeline(diabetes):
    net = _net(activation="tanh", solver="lbfgs", alpha=5.0, max_iter=100)
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), net), transformer=StandardScaler()
    )
    X, y = load_diabetes(return_X_y=True)
    assert cross_val_score(model, X, y, cv=5).mean() > 0.4


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_predict_the_same_and_go_on_the_same(diabetes, duplicate):
    fitted = _net(warm_start=True).fit(*diabetes)
    other = duplicate(fitted)
    np.testing.assert_array_equal(other.predict(diabetes[0]), fitted.predict(diabetes[0]))
    for estimator in (fitted, other):
        estimator.fit(*diabetes)
        estimator.partial_fit(*diabetes)
    np.testing.assert_array_equal(other.predict(diabetes[0]), fitted.predict(diabetes[0]))


def test_joblib_memory_map_predicts_and_goes_on(diabetes, tmp_path):
    with pytest.warns(ConvergenceWarning):
        fitted = _net().fit(*diabetes)
    joblib.dump(fitted, tmp_path / "net.joblib")
    loaded = joblib.load(tmp_path / "net.joblib", mmap_mode="r")
    assert loaded.coefs_[0].flags.writeable  # a copy, where single samples are learnt
    np.testing.assert_array_equal(loaded.predict(diabetes[0]), fitted.predict(diabetes[0]))
    np.testing.assert_array_equal(
        loaded.partial_fit(*diabetes).coefs_[0], fitted.partial_fit(*diabetes).coefs_[0]
    )


def test_metadata_routing_takes_sample_weights_through_a_pipeline(diabetes):
    import sklearn

    X, y = diabetes
    weights = np.linspace(0.1, 2, len(y))
    net = _net(solver="lbfgs", tol=0.1)
    expected = clone(net).fit(StandardScaler().fit_transform(X), y, weights)
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        model = make_pipeline(scaler, net.set_fit_request(sample_weight=True))
        model.fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(model[-1].coefs_[0], expected.coefs_[0])


def test_tags_say_the_truth():
    tags = BackpropRegressor().__sklearn_tags__()
    assert tags.target_tags.multi_output
    assert tags.input_tags.sparse
    assert not tags.target_tags.positive_only
    assert BackpropRegressor(loss="poisson").__sklearn_tags__().target_tags.positive_only
