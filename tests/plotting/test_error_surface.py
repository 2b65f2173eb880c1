"""Pictures of the error surface: planes, losses, the path, the gradient."""

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor, ErrorSurfaceDisplay
from fastbp.plotting.planes import path_plane, random_plane, weights_plane
from helpers.fits import SHORT, loss_and_gradient_at

draw = ErrorSurfaceDisplay.from_estimator
TWO = ((0, 1, 2), (1, 0))  # coefs_[0][1, 2] and intercepts_[1][0]


@pytest.fixture
def net(fit):
    return fit(solver="lm", activation="tanh", max_iter=15, record_path=True)


@pytest.mark.parametrize("plane", [None, "path", "random", TWO])
@pytest.mark.parametrize("kind", ["contour", "surface"])
def test_every_plane_is_drawn_in_two_and_three_dimensions(
    pyplot, net, data, plane, kind, nothing_is_cut_off
):
    display = draw(net, *data, plane=plane, kind=kind, resolution=9)
    surface = display.surface
    assert display.ax_.name == ("3d" if kind == "surface" else "rectilinear")
    assert surface.loss.shape == (9, 9)
    assert np.isfinite(surface.loss).all()
    assert None not in (display.path_, display.arrows_)
    assert surface.kept[0, 2] == pytest.approx(net.loss_)
    assert surface.path[-1] == pytest.approx(surface.kept[0])  # lm's last point is its best
    for shown, view in ((surface.path[:, 0], surface.a), (surface.path[:, 1], surface.b)):
        assert view[0] <= shown.min() <= shown.max() <= view[-1]
    display.figure_.canvas.draw()
    if kind == "contour":
        nothing_is_cut_off(display.figure_)


def test_two_weights_are_varied_alone(pyplot, net, data):
    X, y = data
    display = draw(net, X, y, plane=TWO, resolution=5, limits=((-1, 2), (0, 3)))
    surface = display.surface
    assert display.ax_.get_xlabel() == "coefs_[0][1, 2]"
    assert display.ax_.get_ylabel() == "intercepts_[1][0]"
    assert surface.a.tolist() == [-1, -0.25, 0.5, 1.25, 2]
    assert surface.kept[0, :2].tolist() == [net.coefs_[0][1, 2], net.intercepts_[1][0]]
    net.coefs_[0][1, 2], net.intercepts_[1][0] = surface.a[3], surface.b[1]
    loss, gradient = loss_and_gradient_at(net, X, y)
    assert surface.loss[1, 3] == pytest.approx(loss)
    expected = gradient[[1 * 4 + 2, -1]]
    np.testing.assert_allclose(surface.gradient[1, 3], expected)
    arrows = display.arrows_
    uphill = surface.gradient.reshape(-1, 2)
    assert (arrows.U * uphill[:, 0] <= 0).all()  # of 5 x 5 points every one has its arrow
    assert (arrows.V * uphill[:, 1] <= 0).all()


def test_arrows_lie_on_the_surface_and_point_down_it(pyplot, net, data):
    display = draw(net, *data, plane=TWO, kind="surface", log_scale=False)
    surface = display.surface
    lines = np.array(display.arrows_._segments3d)
    shafts = lines[: len(lines) // 3]
    assert (shafts[:, 0, 2] > shafts[:, -1, 2]).mean() > 0.9  # long ones may be over the valley
    for line in lines[::17]:
        for a, b, height in line[[0, -1]]:
            j, i = np.searchsorted(surface.a, a) - 1, np.searchsorted(surface.b, b) - 1
            around = surface.loss[max(i, 0) : i + 2, max(j, 0) : j + 2]
            assert around.min() - 1e-9 <= height <= around.max() + 1e-9
    for places, limits in ((shafts[:, 0, 0], surface.a), (shafts[:, 0, 1], surface.b)):
        assert places.min() - limits[0] == pytest.approx(limits[-1] - places.max())


def test_a_plane_gives_back_its_coordinates(net, rng):
    network, parameters = net._network, net._parameters()
    generator = np.random.RandomState(0)
    for plane in (
        weights_plane(network, parameters, TWO),
        random_plane(network, parameters, generator),
        path_plane(net.path_, parameters, generator),
    ):
        found = plane.coordinates(np.array([plane.at(0.5, -2.0), plane.at(3.0, 1.0)]))
        np.testing.assert_allclose(found, [[0.5, -2.0], [3.0, 1.0]])
        on_it = plane.at(*plane.coordinates(parameters[np.newaxis])[0])
        np.testing.assert_allclose(on_it, parameters, atol=1e-12)


def test_random_directions_are_as_long_as_each_units_weights(net):
    network, parameters = net._network, net._parameters()
    plane = random_plane(network, parameters, np.random.RandomState(0))
    for direction in plane.directions:
        moved = zip(*network.unpack(direction), strict=True)
        for coef, bias, (d_coef, d_bias) in zip(net.coefs_, net.intercepts_, moved, strict=True):
            lengths = [
                (np.vstack(two) ** 2).sum(axis=0) for two in ((coef, bias), (d_coef, d_bias))
            ]
            np.testing.assert_allclose(*lengths)


def test_the_paths_plane_is_the_nearest_to_it(net):
    parameters = net._parameters()
    plane = path_plane(net.path_, parameters, np.random.RandomState(0))
    np.testing.assert_allclose(plane.directions @ plane.directions.T, np.eye(2), atol=1e-9)
    _, lengths, rows = np.linalg.svd(net.path_ - parameters, full_matrices=False)
    np.testing.assert_allclose(np.abs(rows[:2] @ plane.directions.T), np.eye(2), atol=1e-6)
    share = 100 * lengths[0] ** 2 / (lengths**2).sum()
    assert f"({share:.0f} % of the path)" in plane.labels[0]


def test_a_straight_path_gets_a_second_direction(net):
    parameters = net._parameters()
    straight = np.array([parameters - 2, parameters - 1, parameters])
    for path in (straight, parameters[np.newaxis]):
        plane = path_plane(path, parameters, np.random.RandomState(0))
        np.testing.assert_allclose(plane.directions @ plane.directions.T, np.eye(2), atol=1e-9)
        assert "(0 % of the path)" in plane.labels[1]


@pytest.mark.parametrize("plane", ["path", "random", TWO])
def test_a_path_that_stands_still_is_drawn(pyplot, net, data, plane):
    net.path_ = np.repeat(net.path_[-1:], 3, axis=0)
    surface = draw(net, *data, plane=plane, resolution=5).surface
    assert np.ptp(surface.a) == np.ptp(surface.b) >= 2


@pytest.mark.parametrize("record_path", [True, False])
def test_a_classifier_is_drawn(pyplot, classify, record_path):
    net, X, y = classify(record_path=record_path, max_iter=20)
    display = draw(net, X, y, resolution=5)
    assert ("direction" in display.ax_.get_xlabel(), display.path_ is not None) == (
        True,
        record_path,
    )
    assert ("random" in display.ax_.get_xlabel()) is not record_path


@SHORT
def test_data_go_through_what_is_around_the_network(pyplot, fit, data):
    X, y = data
    given = {"solver": "lm", "max_iter": 10, "record_path": True, "scale_target": True}
    bare = fit(lambda net: net, **given)
    X_then, y_then = X * 5 + 3, y * 7 - 2
    around = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), BackpropRegressor(**bare.get_params())),
        transformer=StandardScaler(),
    ).fit(X_then, y_then)
    inside = around.regressor_[-1]
    surface = draw(around, X_then, y_then, resolution=3).surface
    assert surface.kept[0, 2] == pytest.approx(inside.loss_)


def test_options(pyplot, net, data):
    X, y = data
    display = draw(net, X, y, arrows=False, log_scale=False, resolution=5, cmap="cividis")
    assert display.arrows_ is None
    weighted = draw(net, X, y, sample_weight=np.r_[1.0, np.zeros(len(y) - 1)], resolution=5)
    assert weighted.surface.loss[2, 2] != display.surface.loss[2, 2]
    ax = pyplot.figure().add_subplot()
    assert display.plot(ax=ax).ax_ is ax


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_flat_or_partly_infinite_surface_is_drawn(pyplot, net, data, value):
    display = draw(net, *data, resolution=5)
    losses = np.full((5, 5), 2.0)
    losses[0, 0] = value
    for kind in ("contour", "surface"):
        ErrorSurfaceDisplay(display.surface._replace(loss=losses)).plot(
            kind=kind
        ).figure_.canvas.draw()


def test_wrong_choices_are_named(pyplot, fit, net, data):
    X, y = data
    with pytest.raises(NotFittedError, match="not fitted"):
        draw(BackpropRegressor(), X, y)
    with pytest.raises(TypeError, match="LinearRegression is no estimator of fastbp"):
        draw(LinearRegression().fit(X, y), X, y)
    with pytest.raises(ValueError, match="no path_. Fit it with record_path=True"):
        draw(fit(), X, y, plane="path")
    with pytest.raises(ValueError, match="kind='3d' is unknown"):
        draw(net, X, y, kind="3d", resolution=3)
    with pytest.raises(ValueError, match="drawn in 3 dimensions, and ax is not"):
        draw(net, X, y, kind="surface", ax=pyplot.figure().add_subplot(), resolution=3)
    with pytest.raises(TypeError, match="is no matplotlib Axes"):
        draw(net, X, y, ax=pyplot.figure(), resolution=3)
    with pytest.raises(ValueError, match="resolution=2"):
        draw(net, X, y, resolution=2)
    for limits in ((0, 1), ((1, 0), (0, 1)), ((0, 1), (0, np.inf)), "auto", ((0, 1), 2)):
        with pytest.raises(ValueError, match=r"they are \(\(low, high\), \(low, high\)\)"):
            draw(net, X, y, limits=limits, resolution=3)


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        ("pca", "plane='pca' is unknown"),
        (3, "it is 'path', 'random' or two weights"),
        ((0, 1), r"a weight is given as \(layer, i, j\)"),
        ((TWO[0], "ab"), r"a weight is given as \(layer, i, j\)"),
        ((TWO[0], (0, 1.5)), r"a weight is given as \(layer, i, j\)"),
        ((TWO[0], TWO[0]), "two weights that are not one"),
        ((TWO[0],), "two weights that are not one"),
        (((2, 0, 0), TWO[1]), "the network has layers 0 to 1"),
        (((0, 5, 0), TWO[1]), r"coefs_\[0\] has shape \(5, 4\). Count from 0"),
        (((0, 0, -1), TWO[1]), r"coefs_\[0\] has shape \(5, 4\)"),
        (((1, 1), TWO[1]), r"intercepts_\[1\] has shape \(1,\)"),
    ],
)
def test_a_wrong_plane_is_named(pyplot, net, data, plane, message):
    with pytest.raises(ValueError, match=message):
        draw(net, *data, plane=plane, resolution=3)
