"""Any parameters: a fit ends in a finite model or in an error that names what is wrong.

Most are right, some are at the edges of what is allowed, some are nonsense; hypothesis draws them.
"""

import re
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

pytest.importorskip("hypothesis")
from hypothesis import strategies as st

from fastbp import BackpropRegressor
from fastbp.model.activations import ACTIVATIONS, HIDDEN_ACTIVATIONS
from fastbp.model.losses import LOSSES
from fastbp.solvers import SOLVERS
from fastbp.solvers.conjugate_gradient import UPDATES
from fastbp.solvers.stopping import CRITERIA
from helpers.fits import vector_of
from helpers.guards import TOO_SLOW_IN_PYTHON
from helpers.random_cases import SEEDS, check_examples

pytestmark = TOO_SLOW_IN_PYTHON

HUGE = 10**30  # no machine's integer
FLAGS = (True, False, np.bool_(True))
RATES = (1e-3, 0.1, np.float32(0.01), 1, 1e-320, 1e300, np.float64(10.0))
#: What each parameter may be; sizes and counts are small, so that a case takes milliseconds.
ALLOWED = {
    "loss": tuple(LOSSES),
    "hidden_layer_sizes": (
        (), (3,), [2, 5], np.array([4, 1]), 7, np.int64(2), (1,) * 9, {3: "a key"}, b"\x02\x03",
    ),
    "activation": (*HIDDEN_ACTIVATIONS, ("tanh", "relu"), ["sin"]),
    "solver": tuple(SOLVERS),
    "alpha": (0, 1e-4, np.float32(0.5), 1e300, 5e-324, "bayes"),
    "batch_size": ("auto", "online", "full", 1, 2, np.int32(7), HUGE),
    "learning_rate": ("constant", "invscaling", "adaptive"),
    "learning_rate_init": RATES,
    "power_t": (0, 0.5, 1e3, np.float32(0.25), 1e300),
    "max_iter": (1, 2, 5, np.int64(3), HUGE),
    "shuffle": FLAGS,
    "random_state": (0, np.int64(7), 2**32 - 1, np.random.RandomState(3)),
    "tol": (0, 1e-4, 10.0, np.float32(1e-3), 1e300, 5e-324),
    "verbose": (False, 0),
    "warm_start": FLAGS,
    "momentum": (0, 0.9, 1.0, np.float32(0.5), 1e-320),
    "nesterovs_momentum": FLAGS,
    "early_stopping": (*FLAGS, *CRITERIA[::5]),
    "validation_fraction": (0.1, 0.5, 0, 0.999, np.float32(0.25)),
    "beta_1": (0.9, 0, np.nextafter(1, 0), np.float32(0.5)),
    "beta_2": (0.999, 0, np.nextafter(1, 0), np.float32(0.5)),
    "epsilon": (1e-8, 5e-324, 1e300, np.float32(0.1)),
    "n_iter_no_change": (1, 10, np.inf, np.int64(2), HUGE),
    "max_fun": (1, 3, 40, np.int64(9), HUGE),
    "n_jobs": (None, 1, 2, -1, np.int64(2), -1000, 1000),
    "output_activation": (None, *ACTIVATIONS),
    "n_init": (1, 2, np.int64(3)),
    "gtol": (None, 0, 1e-3, np.float32(0.1), 1e300),
    "loss_goal": (None, 0.1, -1e300, 1e300, np.float32(0.5), 0),
    "max_time": (0.05, np.float32(0.05), 0),
    "cg_update": tuple(UPDATES),
    "lm_acceleration": FLAGS,
    "device": ("cpu", "auto"),
    "huber_delta": (1.35, 1e-300, 1e300, np.float32(0.5), 2),
    "quantile": (0.5, 5e-324, np.float32(0.25), [0.1, 0.9], (0.5,), np.array([0.2, 0.3, 0.4])),
    "scale_target": FLAGS,
    "keep_all": FLAGS,
    "record_path": FLAGS,
    "checkpoint": (None,),
    "checkpoint_every": (0, 60.0, np.float32(0.5), np.int64(2), 1e300),
}  # fmt: skip
NONSENSE = (
    None, "nonsense", "", -1, -0.5, 0, 1.5, np.nan, np.inf, -np.inf, 1j, (), [[1, 2], [3]], {},
    {5}, b"2", object(), np.array(3), np.array([0.5]), True, len, float, HUGE, -HUGE,
    np.datetime64("NaT"),
)  # fmt: skip
#: Of which nonsense would be a long fit, a file, or lines on the terminal.
NEVER_NONSENSE = ("max_time", "verbose", "n_init", "device", "checkpoint")
NAMES = re.compile("|".join(rf"\b{name}\b" for name in [*ALLOWED, "X", "y", "sample_weight"]))


@st.composite
def cases(draw):
    """Constructor parameters, data, and the method called."""
    given = {
        name: draw(st.sampled_from(values))
        for name, values in ALLOWED.items()
        if name in ("max_time", "solver", "random_state") or draw(st.integers(0, 2)) == 0
    }
    given.setdefault("max_iter", 3)
    for name in draw(st.lists(st.sampled_from(list(ALLOWED)), max_size=1)):
        if name not in NEVER_NONSENSE:
            given[name] = draw(st.sampled_from(NONSENSE))
    rng, n = np.random.default_rng(draw(SEEDS)), draw(st.integers(1, 30))
    dtype = draw(st.sampled_from([np.float64, np.float32]))
    scale = draw(st.sampled_from([1.0, 1.0, 1e-30, 1e6, 1e18]))
    X = rng.standard_normal((n, draw(st.integers(1, 5)))).astype(dtype)
    y = (scale * rng.standard_normal((n, draw(st.integers(1, 2))))).astype(dtype)
    y = np.abs(y) if given.get("loss") == "poisson" else y
    weights = rng.integers(0, 3, n) if draw(st.booleans()) else None
    return given, (X, y[:, 0] if y.shape[1] == 1 else y, weights), draw(st.booleans())


def _check(case):
    given, data, by_parts = case
    net = BackpropRegressor(**given)
    before = dict(vars(net))
    with warnings.catch_warnings():
        # What a fit may say; anything else is an error, as in all tests.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings(
            "ignore", "batch_size=|alpha='bayes' finds|R.2 score is not|Some predictions overflow"
        )
        try:
            fit = net.partial_fit if by_parts and hasattr(net, "partial_fit") else net.fit
            fit(*data)
        except (ValueError, AttributeError) as error:
            assert NAMES.search(str(error)), error
            assert vars(net) == before
            return
        prediction = net.predict(data[0])
    assert np.isfinite(vector_of(net)).all()
    assert np.isfinite(net.loss_)
    n_quantiles = np.size(given.get("quantile")) if given.get("loss") == "quantile" else 1
    assert prediction.shape == (*data[1].shape, *([n_quantiles] if n_quantiles > 1 else []))


def test_every_parameter_is_drawn():
    assert set(ALLOWED) == set(BackpropRegressor().get_params())


@pytest.mark.parametrize("n_examples", [40, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_fit_ends_in_a_finite_model_or_an_error_that_names_a_parameter(n_examples):
    check_examples(n_examples, _check, cases())


def test_numpys_float32_is_no_reason_to_compare_losses_in_float32(problem):
    """Nor to warn where a loss is no float32."""
    X, y = problem()
    tiny = {"gtol": np.float32(0), "loss_goal": np.float32(0), "max_time": np.float32(60)}
    for solver in ("sgd", "lbfgs"):
        net = BackpropRegressor(hidden_layer_sizes=(3,), solver=solver, alpha=1e300, max_iter=1)
        net.set_params(tol=np.float32(1e-3), learning_rate_init=1e-310, **tiny)
        with pytest.warns(ConvergenceWarning):
            assert net.fit(X, y).loss_ > 1e200


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_numpys_true_stops_early(problem):
    X, y = problem()
    nets = [
        BackpropRegressor(hidden_layer_sizes=(3,), random_state=0, early_stopping=stop, tol=0.5)
        for stop in (True, np.bool_(True))
    ]
    scores = [net.fit(X, y).validation_scores_ for net in nets]
    assert scores[0] == scores[1]
