"""Pictures of a network."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor, NetworkDisplay

draw = NetworkDisplay.from_estimator


def _labels(ax):
    return [label.get_text() for label in ax.get_xticklabels()]


def _annotations(ax):
    return [text.get_text() for text in ax.texts]


def test_layers_and_weights_are_drawn(pyplot, fit):
    net = fit(hidden_layer_sizes=(4, 3), activation=["tanh", "relu"])
    display = draw(net)
    assert _labels(display.ax_) == ["input\n5", "tanh\n4", "relu\n3", "identity\n1"]
    assert [len(units.get_offsets()) for units in display.units_] == [5, 4, 3, 1]
    assert [len(lines.get_segments()) for lines in display.lines_] == [20, 12, 3]
    assert display.colorbar_.ax.get_ylabel() == "weight or bias (dashed: < 0)"
    display.figure_.canvas.draw()


def test_width_follows_the_weight_and_dashes_its_sign(pyplot, fit):
    net = fit(hidden_layer_sizes=())
    net.coefs_[0][:, 0] = [0.5, -2.0, 1.0, 0.0, -0.25]
    net.intercepts_[0][:] = 4.0
    display = draw(net)
    lines = display.lines_[0]
    from_unit = [round((0.74 - segment[0][1]) / 0.12) for segment in lines.get_segments()]
    assert from_unit == [3, 4, 0, 2, 1]  # the largest is on top
    assert (np.diff(lines.get_linewidths()) > 0).all()
    assert (np.diff(lines.get_colors()[:, 3]) > 0).all()
    dashed = [pattern is not None for _, pattern in lines.get_linestyles()]
    assert dashed == [False, True, False, False, True]
    assert display.colorbar_.vmax == -display.colorbar_.vmin == 4.0


def test_of_many_weights_the_largest_stand_out(pyplot, fit):
    strength = draw(fit(hidden_layer_sizes=(40, 40))).lines_[1].get_colors()[:, 3]
    assert len(strength) == 1600
    assert strength[:-100].max() < 0.26 < strength[-100:].min()
    assert (np.diff(strength) >= 0).all()


def test_a_classifiers_classes_and_features_are_named(pyplot, classify):
    pandas = pytest.importorskip("pandas")
    net, X, y = classify()
    assert _annotations(draw(net).ax_) == ["high", "low", "middle"]
    names = [f"x{i}" for i in range(5)]
    assert _annotations(draw(net, feature_names=names).ax_)[:5] == names
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(pandas.DataFrame(X, columns=list("abcde")), y)
    assert _annotations(draw(net).ax_)[:5] == list("abcde")


def test_a_pipelines_network_is_found(pyplot, fit):
    display = draw(fit(lambda net: make_pipeline(StandardScaler(), net)))
    assert _labels(display.ax_)[0] == "input\n5"


def test_of_a_large_layer_the_largest_weights_are_drawn(pyplot, fit):
    net = fit(hidden_layer_sizes=(100,))
    assert _labels(draw(net).ax_)[1] == "relu\n64 of 100"
    net.coefs_[0][0, [7, 70]] = 50.0
    display = draw(net, max_units=2)
    assert _labels(display.ax_) == ["input\n2 of 5", "relu\n2 of 100", "identity\n1"]
    assert display.layers[1].shown.tolist() == [7, 70]
    np.testing.assert_array_equal(display.weights[1], net.coefs_[1][[7, 70]])


def test_a_network_of_zeros_is_drawn(pyplot, fit):
    net = fit()
    for array in net.coefs_ + net.intercepts_:
        array[...] = 0.0
    draw(net).figure_.canvas.draw()


def test_given_axes_are_drawn_on(pyplot, fit):
    ax = pyplot.subplots()[1]
    display = draw(fit(), ax=ax, cmap="PuOr")
    assert (display.ax_, display.figure_) == (ax, ax.figure)


def test_wrong_choices_are_named(pyplot, fit, data):
    with pytest.raises(NotFittedError, match="not fitted"):
        draw(BackpropRegressor())
    with pytest.raises(TypeError, match="LinearRegression is no estimator of fastbp"):
        draw(LinearRegression().fit(*data))
    with pytest.raises(ValueError, match="feature_names holds 2 names, and the network has 5"):
        draw(fit(), feature_names=["a", "b"])
    with pytest.raises(TypeError, match="is no matplotlib Axes"):
        draw(fit(), ax=pyplot.figure())
    for wrong in (0, 2.5):
        with pytest.raises(ValueError, match="max_units="):
            draw(fit(), max_units=wrong)
