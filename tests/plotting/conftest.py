"""What the tests of pictures share: a backend without a screen, and fitted networks."""

import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropClassifier, BackpropRegressor


@pytest.fixture
def pyplot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


@pytest.fixture
def data(problem):
    """Give the inputs and targets that all networks of a test are fitted to."""
    return problem()


@pytest.fixture
def fit(data):
    """Fit a small regressor, or what is wrapped around it."""

    def fit(wrap=lambda net: net, **parameters):
        given = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0} | parameters
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return wrap(BackpropRegressor(**given)).fit(*data)

    return fit


@pytest.fixture
def classify(data):
    """Fit a small classifier of three classes; returns it and its data."""

    def classify(**parameters):
        X, y = data
        labels = ["low", "middle", "high"]
        y = [labels[int(a > -0.3) + int(a > 0.3)] for a in y]
        given = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0} | parameters
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return BackpropClassifier(**given).fit(X, y), X, y

    return classify


def texts(legend):
    return [text.get_text() for text in legend.get_texts()]


@pytest.fixture
def legend_of():
    return lambda ax: texts(ax.get_legend())


@pytest.fixture
def nothing_is_cut_off():
    """Check, at a small size and a large one, that all text stands within the figure."""

    def check(figure):
        for size in ((4, 3), (8, 6)):
            figure.set_size_inches(*size)
            figure.canvas.draw()
            renderer, page = figure.canvas.get_renderer(), figure.bbox
            for ax in figure.axes:
                legend = ax.get_legend()
                for text in (ax.xaxis.label, ax.yaxis.label, *(legend.texts if legend else ())):
                    box = text.get_window_extent(renderer)
                    if text.get_text() and box.width > 0:
                        assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1, text
                        assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1, text

    return check
