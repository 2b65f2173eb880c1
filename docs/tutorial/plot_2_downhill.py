r"""
2. Downhill
===========

The error is a function of the weights. We want weights where it is low, and know nothing about
where they are. So we start anywhere, at random, and go downhill.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastbp import BackpropRegressor, ErrorSurfaceDisplay, Network, loss_and_gradient

# %%
# The smallest net there is: one neuron with one input, a weight :math:`w`, a bias :math:`b` and
# tanh. Sixty examples, with some noise. A `Network` is the bare plan of a net, how many inputs and
# neurons it has, without weights:
rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, (60, 1))
y = 0.5 * np.tanh(X.ravel() - 0.4) + 0.1 * rng.standard_normal(60)
neuron = Network((1, 1), output_activation="tanh")

# %%
# `loss_and_gradient` gives the error for any weights, and its derivatives (how it gets them, the
# next page tells). First, :math:`b` stays at -0.2 and only :math:`w` is free. The derivative
# :math:`\partial E / \partial w` is the slope of the curve. Where it is negative, as on the left,
# the error falls if :math:`w` grows; where it is positive, the error falls if :math:`w` shrinks. In
# both cases **the way down is against the derivative**, and a step is
#
# .. math:: w \leftarrow w - \eta \, \frac{\partial E}{\partial w}
#
# where :math:`\eta`, the *learning rate*, is a small positive number.
ws = np.linspace(-1.7, 2.7, 141)
errors = [loss_and_gradient(neuron, [w, -0.2], X, y)[0] for w in ws]

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
ax.plot(ws, errors, color="0.5")
for w, colour, marker in ((-1.3, "#0072B2", "o"), (1.5, "#D55E00", "s")):
    for step in range(20):
        error, (slope, _) = loss_and_gradient(neuron, [w, -0.2], X, y)
        if step == 0:
            reach = np.array([-0.4, 0.4])
            ax.plot(w + reach, error + slope * reach, "k--", linewidth=1)
            ax.annotate(
                f"slope {slope:.2g}", (w, error), xytext=(8, 14), textcoords="offset points"
            )
        ax.plot(w, error, marker, color=colour, markersize=6)
        w = w - 1.0 * slope  # the learning rate is 1
ax.set(xlabel="weight w", ylabel="error E", title="twenty steps from the left and from the right")

# %%
# Both walks lead to the bottom of the valley. They make large steps where the curve is steep, and
# small ones near the bottom, where the slope is next to 0.
#
# With more weights there is a derivative for each of them. Together they are the *gradient*, a
# vector that points where the error rises most steeply; every weight moves against its own part.
# Here both :math:`w` and :math:`b` are free. The estimator draws its first weights at random,
# differently for each `random_state`; ``solver="sgd"`` with ``batch_size="full"`` makes the step
# above, until no derivative is larger than `gtol`. ``hidden_layer_sizes=()`` is no hidden layer.
# What is set to 0 we leave off: `alpha` (:doc:`page 9 <plot_9_a_real_net>`), `momentum`, which adds
# a part of the last step to the next, and `tol`, which ends a walk when the error hardly falls.
common = {"hidden_layer_sizes": (), "output_activation": "tanh", "solver": "sgd"}
common |= {"batch_size": "full", "alpha": 0.0, "momentum": 0.0, "tol": 0.0, "gtol": 1e-3}
walks = [
    BackpropRegressor(learning_rate_init=0.7, random_state=seed, record_path=True, **common)
    for seed in (1, 3, 4)
]
for net in walks:
    net.fit(X, y)
    print(f"from {net.path_[0].round(2)} to {net.path_[-1].round(2)} in {net.n_iter_} steps")

# %%
# The error is now a landscape, the *error surface*. It is drawn from above, as on a map: along a
# white line, a *contour*, the error is the same; dark is low. Each arrow is minus the gradient, the
# longer the steeper: it crosses the contours at a right angle, as water would run. The three walks
# follow the arrows, from three random starts to the same place. The star is where `fit` ended, and
# has kept the weights. (In `plane`, a weight is named by its place, layer 0, input 0, neuron 0, and
# a bias by its layer and neuron.)
display = ErrorSurfaceDisplay.from_estimator(
    walks[0], X, y, plane=((0, 0, 0), (0, 0)), limits=((-2, 3), (-2.2, 1.8))
)
for net in walks[1:]:
    display.ax_.plot(*net.path_.T, "k.-", linewidth=1.2, markersize=4)
    display.ax_.plot(*net.path_[0], "o", color="#D55E00", markeredgecolor="black", markersize=8)
display.ax_.set(xlabel="weight w", ylabel="bias b")

# %%
# Does a step against the gradient always lower the error? The derivative is about an infinitely
# small step: with the gradient :math:`g`, the step :math:`-\eta g` changes the error by
# :math:`-\eta \, |g|^2`, which is never positive, and a remainder that vanishes faster than
# :math:`\eta`. So **every step is a step down if it is small enough**. If it is too large it
# crosses the valley, and the error on the other side may be higher:
figure, ax = plt.subplots(figsize=(8.5, 3.2), layout="constrained")
for rate, colour, line in ((0.05, "#000000", "-."), (0.7, "#0072B2", "-"), (4.0, "#D55E00", "--")):
    net = BackpropRegressor(learning_rate_init=rate, random_state=3, **common)
    for _ in range(40):
        net.partial_fit(X, y)  # one step
    ax.plot(net.loss_curve_, line, color=colour, label=f"learning rate {rate}")
ax.set(xlabel="steps", ylabel="error E", yscale="log")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))

# %%
# The error itself tells. While it falls, following the derivative is going the right way; if it
# falls slowly, the steps may be larger, and if it jumps up and down, they are too large.
#
# Where do the derivatives come from? :doc:`From the chain rule <plot_3_chain_rule>`.
plt.show()
