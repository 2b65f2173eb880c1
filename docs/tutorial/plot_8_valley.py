r"""
8. Valleys, and better ways down
================================

The steepest way down is not the shortest way to the bottom. Where the error surface is a long
valley (and it mostly is), the gradient points mostly across the valley, hardly along it.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from fastbp import BackpropRegressor, ErrorSurfaceDisplay, LossCurveDisplay

# %%
# Again a neuron with :math:`f(z) = z`, and two inputs that go together: total cholesterol and the
# "bad" kind of it. If one weight is raised and the other lowered by as much, the output hardly
# changes; that is the valley's direction. For this page `X` and `y` are all 442 people.
diabetes = load_diabetes(as_frame=True)
X, y = scale(diabetes.data[["s1", "s2"]]), scale(diabetes.target)


def train(solver, start):
    """Train from given weights, and keep the path."""
    net = BackpropRegressor(hidden_layer_sizes=(), solver=solver, alpha=0.0, warm_start=True)
    net.set_params(record_path=True)
    net.fit(X, y)  # makes the arrays of weights, into which we write the start
    net.coefs_, net.intercepts_ = [np.reshape(start, (2, 1))], [np.zeros(1)]
    return net.fit(X, y)


# %%
# *Steepest descent*, ``solver="gd"``, goes against the gradient, but not with a fixed learning
# rate: it looks for a low point along the line, and turns only there (a *line search*). There the
# line touches a contour, so the next gradient, at a right angle to the contour, is at a right angle
# to the line (nearly, since fastbp ends the search when it is low enough). It goes to and fro
# across the valley.
#
# *Conjugate gradients*, ``solver="cg"``, have a memory. The next direction is not the new gradient
# alone, but keeps a part of the direction before. With :math:`d` the direction of the last line,
# and :math:`g` and :math:`g_{\text{new}}` the gradients where it began and where it ended:
#
# .. math:: d_{\text{new}} = -g_{\text{new}} + \beta \, d, \qquad
#    \beta = \frac{g_{\text{new}} \cdot (g_{\text{new}} - g)}{g \cdot g}
#
# With this :math:`\beta` (it is that of Polak and Ribière) a step along the new direction does not
# spoil what the search along the last one has won: the two are *conjugate*. For the last search has
# brought the derivative along :math:`d` to 0, and it should stay 0. On a bowl, a surface whose
# contours are ellipses, it does if :math:`d_{\text{new}}` is at a right angle to
# :math:`g_{\text{new}} - g`, the change of the gradient along the last line; from this
# :math:`\beta` follows. Here the second step leads along the valley's floor.
start = (2.6, -0.7)
figure, axes = plt.subplots(ncols=2, figsize=(9.5, 4.6), layout="constrained")
for ax, solver, name in zip(
    axes, ("gd", "cg"), ("steepest descent", "conjugate gradients"), strict=True
):
    net = train(solver, start)
    ErrorSurfaceDisplay.from_estimator(
        net, X, y, plane=((0, 0, 0), (0, 1, 0)), limits=((-0.2, 2.8), (-1.9, 1.1)), ax=ax
    )
    ax.set_title(f"{name}: {net.n_iter_} steps", pad=34)
    ax.set(xlabel="weight of total cholesterol", ylabel="weight of LDL cholesterol")

# %%
# Two weights, two steps: on a bowl, and this surface is one, conjugate gradients need no more steps
# than there are weights, if each search finds the lowest point of its line. The error surface of a
# net with hidden layers is no bowl, but near a minimum it nearly is. Here is a net of three hidden
# neurons on all ten inputs, from the same random start each time. (``alpha=10`` adds a penalty for
# large weights to the error, :doc:`see the next page <plot_9_a_real_net>`; with it the three go to
# the same minimum.)
X = scale(diabetes.data)
nets = {}
for name, solver in (
    ("steepest descent", "gd"),
    ("conjugate gradients", "cg"),
    ("Levenberg-Marquardt", "lm"),
):
    net = BackpropRegressor("squared_error", (3,), "tanh", solver=solver, alpha=10.0)
    nets[name] = net.set_params(random_state=0, gtol=1e-5, max_iter=3000).fit(X, y)
    print(f"{name}: E = {net.loss_:.5f} after {net.n_fun_} evaluations")

# %%
# Time goes by *evaluations*: how often the error and its gradient over all people were worked out.
# The picture shows the largest derivative of all weights, which has to become 0.
figure, ax = plt.subplots(figsize=(8, 3.8), layout="constrained")
LossCurveDisplay.from_estimators(nets, ax=ax, x="evaluations", show="gradient_norm")
ax.set(xlabel="evaluations of the error and its gradient", ylabel="largest derivative")

# %%
# *Levenberg-Marquardt* uses that the error is a sum of squares: it works out how bent the valley
# is, too, and goes to where the bottom should be. For small tables it is the one to take first.
# None of these methods is another way to get the gradient. They all call backpropagation, and
# differ in what they make of it. At last, :doc:`a real net from start to end <plot_9_a_real_net>`.
plt.show()
