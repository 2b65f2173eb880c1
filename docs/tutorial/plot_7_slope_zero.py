r"""
7. Where the slope is zero
==========================

Where the gradient is 0 there are no more steps. Such a *stationary point* may be the lowest point
of all, a *global minimum*; the lowest of its surroundings, a *local minimum*; or a *saddle*, from
which it goes up on some sides and down on others. (A maximum, too, but no way down leads there.)
"""

from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from fastbp import (
    BackpropRegressor,
    ErrorSurfaceDisplay,
    Network,
    RestartsDisplay,
    loss_and_gradient,
)

# %%
# The smallest net with a hidden layer: one input, one hidden neuron with tanh, one output, which is
# :math:`w_2 \tanh(w_1 x)`. (The data are symmetric about 0, so both biases stay 0 if they are.)
X = np.linspace(-2, 2, 41).reshape(-1, 1)
y = 1.5 * np.tanh(1.2 * X.ravel())
net = BackpropRegressor("squared_error", (1,), "tanh", solver="sgd", batch_size="full")
net.set_params(alpha=0.0, momentum=0.0, learning_rate_init=0.6, record_path=True)
net.set_params(gtol=1e-4, max_iter=2000, n_iter_no_change=2000)  # nothing but slope 0 ends a walk
net.set_params(warm_start=True).fit(X, y)  # from now on, `fit` goes on from the weights there are


def starting_at(w1, w2):
    """Give the net other weights."""
    other = deepcopy(net)
    other.coefs_, other.intercepts_ = (
        [np.array([[w1]]), np.array([[w2]])],
        [np.zeros(1), np.zeros(1)],
    )
    return other


# %%
# Four walks on the error surface. In the hatched regions the gradient is shorter than 0.25: along
# the floors of two valleys, and in the middle.
walks = [starting_at(*start) for start in ((0.2, 2.2), (-0.5, 0.3), (2.2, -1.0), (-1.1, 1.69))]
for walk in walks:
    walk.fit(X, y)
    print(f"{walk.n_iter_} steps to {walk.path_[-1, :2].round(2)}")

display = ErrorSurfaceDisplay.from_estimator(
    walks[0], X, y, plane=((0, 0, 0), (1, 0, 0)), limits=((-2.5, 2.5), (-2.5, 2.5))
)
surface, ax = display.surface, display.ax_
slope = np.linalg.norm(surface.gradient, axis=2)
ax.contourf(surface.a, surface.b, slope, [0, 0.25], colors="none", hatches=["////"])
for walk in walks[1:]:
    ax.plot(*walk.path_[:, :2].T, "k.-", linewidth=1.2, markersize=4)
    ax.plot(*walk.path_[0, :2], "o", color="#D55E00", markeredgecolor="black", markersize=8)
ax.set(xlabel="first weight", ylabel="second weight")

# %%
# There are three points of slope 0. Two are minima, at (1.2, 1.5) and (-1.2, -1.5): tanh(-z) is
# -tanh(z), so both give the same output, and both are global. The third is the saddle at (0, 0).
# One walk comes near it, creeps, since the slope is small there, and is led away. (That from the
# top leaps over its valley in the first step and comes back.) What a point is, the *curvatures*
# tell, the second derivatives along all directions: positive means upwards on both sides. Where all
# are positive is a minimum; where some are positive and some negative, a saddle.
for w1, w2 in ((1.2, 1.5), (-1.2, -1.5), (0.0, 0.0)):
    print(f"({w1}, {w2}) {starting_at(w1, w2).stationary_point(X, y)}")

# %%
# A walk that begins at the saddle itself stays there for ever. That is why the first weights are
# drawn at random, and are not 0. (Nor all the same number: hidden neurons with the same weights
# would have the same derivatives, and stay alike for ever.)
walk = starting_at(0.0, 0.0).partial_fit(X, y)
assert walk.coefs_[0] == walk.coefs_[1] == 0

# %%
# Now the activation is a sine, :math:`\sin(w_1 x)`, and the targets are :math:`\sin(2.2 x)`. The
# second weight stays 1. Over the first, :math:`w_1`, the error has several minima. Each walk ends
# (star) in the one into whose valley the start happens to fall; only that at 2.2 is the global one.
# No derivative can tell: it is 0 in all three, and at the tops between them, too.
sine, targets = Network((1, 1, 1), "sin"), np.sin(2.2 * X.ravel())


def error_and_slope(w1):
    """Give the error and its derivative, with the second weight at 1 and biases of 0."""
    error, gradient = loss_and_gradient(sine, [w1, 1.0, 0.0, 0.0], X, targets)
    return error, gradient[0]


ws = np.linspace(-1, 6.5, 301)
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.plot(ws, [error_and_slope(w)[0] for w in ws], color="0.5")
for w, colour, marker in ((0.6, "#0072B2", "o"), (3.6, "#000000", "^"), (4.6, "#D55E00", "s")):
    for _step in range(100):
        error, slope = error_and_slope(w)
        ax.plot(w, error, marker, color=colour, markersize=4)
        w = w - 0.15 * slope
    ax.plot(w, error, "*", color=colour, markersize=15, markeredgecolor="white")
ax.set(xlabel="weight $w_1$", ylabel="error E")

# %%
# What helps is to start more than once. With ``n_init=40`` a net is trained from forty random
# starts, and the best is kept. Here the data are real again: the progress of diabetes by the BMI,
# and three hidden neurons. The picture has the errors that the starts have come to, from the lowest
# on. Each stair is a minimum that several have found.
diabetes = load_diabetes(as_frame=True)
best = BackpropRegressor(
    "squared_error", (3,), "tanh", solver="lm", alpha=0.01, max_iter=2000, n_init=40, random_state=0
)
best.fit(scale(diabetes.data[["bmi"]]), scale(diabetes.target))
RestartsDisplay.from_estimator(best)

# %%
# The next page is about :doc:`better ways down <plot_8_valley>`.
plt.show()
