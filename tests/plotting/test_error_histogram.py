"""Histograms of errors."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from fastbp import BackpropClassifier, BackpropRegressor, ErrorHistogramDisplay

draw = ErrorHistogramDisplay.from_estimator


def test_errors_are_counted_in_the_unit_of_y(pyplot, fit, data, legend_of, nothing_is_cut_off):
    X, y = data
    net = fit(scale_target=True)
    display = draw(net, X, y, bins=7)
    errors = y - net.predict(X)
    counts, edges = np.histogram(errors, 7)
    np.testing.assert_array_equal(display.counts_[""], counts)
    np.testing.assert_allclose(display.bins_, edges)
    assert display.ax_.get_xlabel() == "error: y - prediction"
    assert legend_of(display.ax_) == [f"mean {errors.mean():.2g}, sd {errors.std():.2g}"]
    nothing_is_cut_off(display.figure_)


def test_several_sets_share_their_bins(pyplot, fit, data, legend_of):
    X, y = data
    sets = {"training": (X[:40], y[:40]), "test": (X[40:], y[40:])}
    display = draw(fit(), sets)
    assert [counts.sum() for counts in display.counts_.values()] == [40, 20]
    assert [line.split(":")[0] for line in legend_of(display.ax_)] == list(sets)
    patches = display.ax_.patches
    assert len({patch.get_hatch() for patch in patches}) == 2
    assert len({patch.get_edgecolor() for patch in patches}) == 2


def test_each_output_has_a_histogram(pyplot, fit, problem):
    X, y = problem(n_outputs=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net = BackpropRegressor(max_iter=3).fit(X, y)
        quantiles = fit(loss="quantile", quantile=[0.1, 0.9])
    assert list(draw(net, {"test": (X, y)}).counts_) == ["test, output 0", "test, output 1"]
    assert list(draw(quantiles, X, y[:, 0]).counts_) == ["output 0", "output 1"]


def test_of_many_sets_outlines_are_drawn(pyplot, legend_of, nothing_is_cut_off, rng):
    names = [f"a long name {i}" for i in range(6)]
    display = ErrorHistogramDisplay({name: rng.standard_normal(50) for name in names}).plot()
    patches = display.ax_.patches
    assert len({(patch.get_edgecolor(), patch.get_linestyle()) for patch in patches}) == 6
    assert not any(patch.get_fill() or patch.get_hatch() for patch in patches)
    assert legend_of(display.ax_) == names
    nothing_is_cut_off(display.figure_)


def test_a_classifier_lacks_probability(pyplot, classify):
    net, X, y = classify()
    display = draw(net, X, y, bins=np.linspace(0, 1, 11))
    p = net.predict_proba(X)[np.arange(len(y)), np.searchsorted(net.classes_, y)]
    np.testing.assert_allclose(display.errors[""], 1 - p)
    assert display.ax_.get_xlabel() == "1 - probability of the right class"
    with pytest.raises(ValueError, match="y holds 'huge', which is none of the classes"):
        draw(net, X[:2], ["low", "huge"])


def test_several_labels_a_row(pyplot, data):
    X, y = data
    Y = np.column_stack([y > 0, X[:, 0] > 0]).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net = BackpropClassifier((3,), max_iter=3).fit(X, Y)
    display = draw(net, X, Y)
    np.testing.assert_allclose(display.errors[""], np.abs(Y - net.predict_proba(X)).ravel())
    assert display.ax_.get_xlabel() == "|y - probability|"


def test_predictions_are_enough(pyplot):
    ax = pyplot.subplots()[1]
    display = ErrorHistogramDisplay.from_predictions([1, 2, 3.5], [1, 1, 1], name="A", ax=ax)
    assert list(display.errors["A"]) == [0, 1, 2.5]
    assert (display.ax_, display.figure_) == (ax, ax.figure)


def test_wrong_choices_are_named(pyplot, fit, data):
    X, y = data
    net = fit()
    with pytest.raises(NotFittedError, match="not fitted"):
        draw(BackpropRegressor(), X, y)
    for wrong in ((X,), ({"test": (X, None)},), ({},)):
        with pytest.raises(ValueError, match="Errors need the targets"):
            draw(net, *wrong)
    with pytest.raises(ValueError, match=r"y has shape \(3,\), and the predictions have \(60,\)"):
        draw(net, X, y[:3])
    with pytest.raises(ValueError, match="no finite error"):
        ErrorHistogramDisplay({"": [np.nan]}).plot()
