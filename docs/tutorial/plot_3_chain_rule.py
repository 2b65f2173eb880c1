r"""
3. The chain rule: one weight, by hand
======================================

A step needs the derivative of the error with respect to a weight. Here it is worked out for one
weight of one neuron and one example, factor by factor, and compared with what the library does.
"""

import textwrap

import matplotlib.pyplot as plt
import numpy as np

from fastbp import Activation, BackpropRegressor, Network, elementary, loss_and_gradient

# %%
# The error does not know the weight. It knows the output, which knows the net input, which knows
# the weight:
#
# .. math:: w \;\longrightarrow\; z = w x + b \;\longrightarrow\; a = f(z)
#     \;\longrightarrow\; E = \tfrac12 (a - y)^2
#
# For such a chain of functions the derivative is the product of the derivatives of its links:
#
# .. math:: \frac{\partial E}{\partial w} =
#    \underbrace{\frac{\partial E}{\partial a}}_{a - y} \;
#    \underbrace{\frac{\partial a}{\partial z}}_{f'(z)} \;
#    \underbrace{\frac{\partial z}{\partial w}}_{x}
x, y = 0.8, 0.2  # the example
w, b = 0.9, 0.1  # the weights as they are now

z = w * x + b
a = np.tanh(z)
E = (a - y) ** 2 / 2

dE_da = a - y  # how far the output is off
da_dz = 1 - a**2  # the slope of tanh, which can be had from its output
dz_dw = x  # how strongly the weight acts on the net input
dE_dw = dE_da * da_dz * dz_dw
print(f"{dE_da:.3f} * {da_dz:.3f} * {dz_dw:.3f} = {dE_dw:.3f}")

# %%
# Each link in a picture, with its tangent at the current weight. A slope is a rate of exchange: if
# :math:`w` grows by a little, :math:`z` grows by 0.80 times as much, then :math:`a` by 0.54 times
# as much as :math:`z`, and the error by 0.48 times as much as :math:`a`. The tangent at the end has
# the product of the three for its slope, 0.21.
r = np.linspace(-1, 1, 101)
links = {
    ("weight w", "net input z"): (w, lambda w: w * x + b, dz_dw),
    ("net input z", "output a"): (z, np.tanh, da_dz),
    ("output a", "error E"): (a, lambda a: (a - y) ** 2 / 2, dE_da),
    ("weight w", "error E"): (w, lambda w: (np.tanh(w * x + b) - y) ** 2 / 2, dE_dw),
}
figure, axes = plt.subplots(2, 2, figsize=(7, 5), layout="constrained")
for ax, ((from_, to), (here, function, slope)) in zip(axes.flat, links.items(), strict=True):
    ax.plot(here + r, function(here + r), color="#0072B2")
    ax.plot(here + 0.6 * r, function(here) + slope * 0.6 * r, "--", color="#D55E00", linewidth=2)
    ax.plot(here, function(here), "o", color="black")
    ax.set(xlabel=from_, ylabel=to, title=f"slope {slope:.2f}")

# %%
# The update is that slope times the learning rate, subtracted. The library's `learn_one` makes one
# step for one example, and comes to the same weight:
rate = 0.5
net = BackpropRegressor(hidden_layer_sizes=(), output_activation="tanh", solver="sgd")
net.set_params(alpha=0.0, momentum=0.0, learning_rate_init=rate)
net.partial_fit([[x]], [y])  # makes the arrays of weights, into which we write ours
net.coefs_, net.intercepts_ = [np.array([[w]])], [np.array([b])]
net.learn_one([x], y)

by_hand = w - rate * dE_da * da_dz * dz_dw
print(f"by hand {by_hand:.12f}, fastbp {net.coefs_[0][0, 0]:.12f}")
assert np.allclose(net.coefs_[0][0, 0], by_hand)
assert np.allclose(net.intercepts_[0][0], b - rate * dE_da * da_dz)  # dz/db is 1

# %%
# Now two neurons in a row; from here on the number at a letter says which neuron is meant:
#
# .. math:: z_1 = w_1 x + b_1, \quad a_1 = f(z_1), \quad z_2 = w_2 a_1 + b_2, \quad a_2 = f(z_2)
#
# The chain from :math:`w_1` to the error, :math:`w_1 \to z_1 \to a_1 \to z_2 \to a_2 \to E`, is
# longer, and there is nothing else new. It goes through both activations, so the slopes of both are
# in it; and from :math:`a_1` to :math:`z_2` the slope is :math:`w_2`:
#
# .. math:: \frac{\partial E}{\partial w_1} = (a_2 - y) \; f'(z_2) \; w_2 \; f'(z_1) \; x
w1, w2, b1, b2 = 0.9, -1.4, 0.1, 0.3
a1 = np.tanh(w1 * x + b1)
a2 = np.tanh(w2 * a1 + b2)
dE_dw1 = (a2 - y) * (1 - a2**2) * w2 * (1 - a1**2) * x

two = Network((1, 1, 1), "tanh", output_activation="tanh")
parameters = np.array([w1, w2, b1, b2])  # the library's order: all weights, then all biases
E, gradient = loss_and_gradient(two, parameters, [[x]], [y])
assert np.allclose(gradient[0], dE_dw1)

# %%
# Who trusts neither the hand nor the library can ask the error itself: move the weight up and down
# by a little, and look how the error changes. That needs no chain rule, but the error has to be
# worked out twice for each weight, and nets have thousands.
h = np.array([1e-5, 0.0, 0.0, 0.0])
higher, lower = (loss_and_gradient(two, parameters + s * h, [[x]], [y])[0] for s in (1, -1))
assert np.allclose((higher - lower) / 2e-5, dE_dw1)

# %%
# What if somebody forgets :math:`f'`? Then the number is not the derivative of the error any more.
# fastbp allows activations of your own, written with the functions of `elementary`, and checks
# their slopes: one that is 1 everywhere, as if it were forgotten, is refused. (:doc:`Page 9
# <plot_9_a_real_net>` tries what would happen.)


def curve(z):
    """Give the output."""
    return elementary.tanh(z)


def forgotten(z, a):
    """Give the slope: 1, in the shape of z."""
    return elementary.one(z)


try:
    Network((1, 1), output_activation=Activation("mine", curve, forgotten))
except ValueError as refused:
    print(textwrap.fill(str(refused), 80))

# %%
# The derivative is the direction of a step. :doc:`It is also its length <plot_4_large_derivative>`.
plt.show()
