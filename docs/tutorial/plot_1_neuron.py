r"""
1. A neuron, and a net of them
==============================

A *neuron* is a function of some numbers, its *inputs*. It multiplies each by a *weight*, adds them
up together with one more number, its *bias*, and sends the sum through a curve.

With the inputs :math:`x_1, x_2, \dots`, the weights :math:`w_1, w_2, \dots` and the bias :math:`b`:

.. math::
    z = w_1 x_1 + w_2 x_2 + \dots + b, \qquad a = f(z)

:math:`z` is called the *net input*, :math:`f` the *activation* and :math:`a` the *output*. A common
activation is the hyperbolic tangent, an S-shaped curve between -1 and 1.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastbp import BackpropRegressor, NetworkDisplay

COLOURS = ("#0072B2", "#D55E00", "#000000")  # all kinds of eyes can tell them apart
LINES = ("-", "--", ":")  # and so can grey printers

# %%
# With one input, the weight says how steep the curve is, and the bias where it lies:
x = np.linspace(-3, 3, 201)

figure, (left, right) = plt.subplots(ncols=2, sharey=True, figsize=(8.5, 3), layout="constrained")
for w, b, colour, line in zip((0.5, 1.0, 3.0), (-1.5, 0.0, 1.5), COLOURS, LINES, strict=True):
    left.plot(x, np.tanh(w * x), line, color=colour, label=f"w = {w}, b = 0")
    right.plot(x, np.tanh(x + b), line, color=colour, label=f"w = 1, b = {b}")
for ax in (left, right):
    ax.set(xlabel="input x", ylabel="output a = tanh(w x + b)")
    ax.legend(fontsize="small")

# %%
# Several neurons side by side, all with the same inputs, are a *layer*. A layer's outputs can be
# the inputs of the next one, and then the neurons are a *net*. The layers before the last are
# called *hidden*: the data say what comes in and what should come out, but not what happens
# between. For the last layer we take :math:`f(z) = z`, the *identity*, so that the net's output may
# be any number.
#
# Here is a net with one input, three hidden neurons with tanh, and one output. For each of 41
# inputs somebody has told which output is wanted, the *target* :math:`y`. Each input with its
# target is an *example*. `BackpropRegressor` is what scikit-learn calls an estimator, an object
# that learns from examples by `fit`; what its other parameters mean, later pages say.
X = np.linspace(-2, 2, 41).reshape(-1, 1)
y = np.sin(2 * X.ravel()) + 0.3 * X.ravel()

net = BackpropRegressor(
    hidden_layer_sizes=(3,), activation="tanh", solver="lm", alpha=0.0, random_state=1, gtol=1e-6
)
net.fit(X, y)

# %%
# What `fit` did is what the next eight pages are about. What it has found are the weights and
# biases of the two layers, `coefs_` and `intercepts_`. `coefs_[0]` is a matrix with a row for each
# input and a column for each hidden neuron, `coefs_[1]` likewise from the hidden layer to the
# output. With them the output can be worked out by hand, and it is what `predict` gives. The rows
# of `X` are examples, so each line with its product of matrices does a layer for all examples at
# once:
hidden = np.tanh(X @ net.coefs_[0] + net.intercepts_[0])  # 41 examples, 3 neurons
output = (hidden @ net.coefs_[1] + net.intercepts_[1]).ravel()
assert np.allclose(output, net.predict(X))

# %%
# So this net is a sum of bent curves. In the left picture, lines are weights, and discs are the
# input and the neurons, each in the colour of its bias, neuron 1 at the top; below are the
# activation and the number of neurons. In the middle is what each hidden neuron adds to the output;
# on the right, their sum with the output's bias, which is next to 0 here.
figure, (left, middle, right) = plt.subplots(ncols=3, figsize=(9.5, 3.3), layout="constrained")
NetworkDisplay.from_estimator(net, ax=left)
for j, (colour, line) in enumerate(zip(COLOURS, LINES, strict=True)):
    middle.plot(X, hidden[:, j] * net.coefs_[1][j], line, color=colour, label=f"neuron {j + 1}")
right.plot(X, y, "o", color="0.7", markersize=4, label="targets y")
right.plot(X, output, color="black", label="output a")
middle.set(xlabel="input x", ylabel="weight times output")
right.set(xlabel="input x", ylabel="output of the net")
middle.set_ylim(-2.7, 4.2)
for ax in (middle, right):
    ax.legend(fontsize="small", loc="upper left")

# %%
# How well does it fit? The *error* is half the squared difference between the net's output, now
# called :math:`a`, and the target, as a mean over the :math:`n` examples:
#
# .. math:: E = \frac1n \sum_{\text{examples}} \frac12 (a - y)^2
#
# The half is there because it goes away in the derivative. fastbp calls the error the *loss*.
error = np.mean((output - y) ** 2 / 2)
assert np.isclose(error, net.loss_)
print(f"E = {error:.1e}")

# %%
# The inputs and targets are given. What we are free to choose are the weights (from here on,
# "weights" means the biases, too). So the error is a **function of the weights**, and to train a
# net is to look for weights where this function is low. :doc:`The next page <plot_2_downhill>`
# begins to look.
plt.show()
