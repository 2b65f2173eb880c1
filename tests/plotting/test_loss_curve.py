"""Pictures of a training."""

import sys
import warnings

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor
from fastbp.plotting.loss_curve import LossCurveDisplay


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.fixture
def fit(problem):
    def fit(wrap=lambda net: net, **parameters):
        net = BackpropRegressor("squared_error", (4,), max_iter=5, random_state=0, **parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return wrap(net).fit(*problem())

    return fit


def test_the_line_is_the_loss_curve(pyplot, fit):
    net = fit()
    display = LossCurveDisplay.from_estimator(net, color="red", linewidth=3)
    iterations, losses = display.line_.get_data()
    assert list(iterations) == [1, 2, 3, 4, 5]
    assert list(losses) == net.loss_curve_
    assert (display.line_.get_color(), display.line_.get_linewidth()) == ("red", 3)
    assert display.ax_.get_yscale() == "log"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("iteration", "loss")
    assert display.figure_ is display.ax_.figure
    assert display.validation_ax_ is display.validation_line_ is None


def test_validation_scores_have_an_axis_of_their_own(pyplot, fit):
    net = fit(early_stopping=True)
    display = LossCurveDisplay.from_estimator(net)
    assert list(display.validation_line_.get_ydata()) == net.validation_scores_
    assert display.validation_ax_ is not display.ax_
    assert display.validation_ax_.get_yscale() == "linear"
    legend = [text.get_text() for text in display.validation_ax_.get_legend().get_texts()]
    assert legend == ["loss", "validation score"]
    display.figure_.canvas.draw()


def test_given_axes_are_drawn_on(pyplot, fit):
    figure, (left, right) = pyplot.subplots(ncols=2)
    display = LossCurveDisplay.from_estimator(fit(), ax=left, log_scale=False)
    assert (display.ax_, display.figure_) == (left, figure)
    assert left.get_yscale() == "linear"
    assert display.plot(ax=right) is display
    assert display.ax_ is right
    assert len(left.lines) == len(right.lines) == 1


def test_an_array_can_be_drawn(pyplot):
    display = LossCurveDisplay(np.array([3.0, 2.0, 1.0])).plot()
    assert list(display.line_.get_ydata()) == [3.0, 2.0, 1.0]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: make_pipeline(StandardScaler(), net),
        lambda net: TransformedTargetRegressor(make_pipeline(StandardScaler(), net)),
        lambda net: GridSearchCV(net, {"alpha": [0.1]}, cv=2),
    ],
    ids=["pipeline", "transformed target", "grid search"],
)
def test_the_network_is_found_inside(pyplot, fit, wrap):
    assert len(LossCurveDisplay.from_estimator(fit(wrap)).line_.get_ydata()) == 5


def test_what_has_no_curve_is_refused(problem):
    with pytest.raises(NotFittedError, match="not fitted"):
        LossCurveDisplay.from_estimator(BackpropRegressor())
    with pytest.raises(NotFittedError, match="not fitted"):
        LossCurveDisplay.from_estimator(make_pipeline(StandardScaler(), BackpropRegressor()))
    with pytest.raises(ValueError, match="LinearRegression keeps no loss_curve_"):
        LossCurveDisplay.from_estimator(LinearRegression().fit(*problem()))


def test_a_missing_matplotlib_is_named_with_its_cure(fit, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install fastbp\[plot\]"):
        LossCurveDisplay.from_estimator(fit())
