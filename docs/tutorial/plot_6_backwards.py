r"""
6. From the output back to the inputs
=====================================

A net has many weights, and each needs its derivative. To follow the chain from every weight to
the error anew would do the same work again and again. *Backpropagation* does it once: it works the
error out at the output and carries it back, layer by layer, to the first. Hence the name.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from fastbp import BackpropRegressor, Network, NetworkDisplay, loss_and_gradient

# %%
# The net: ten inputs, hidden layers of six and four neurons with tanh, one output with :math:`f(z)
# = z`. The examples are the 442 people; the net has seen each of them five times.
X, y = load_diabetes(return_X_y=True)
X, y = scale(X), scale(y)
net = BackpropRegressor("squared_error", (6, 4), "tanh", solver="sgd", alpha=0.0, random_state=3)
for _epoch in range(5):
    net.partial_fit(X, y)

# %%
# **Forward.** The output of each layer is the input of the next (rows are people, and ``@`` does a
# layer for all of them at once, as on :doc:`page 1 <plot_1_neuron>`):
(W1, W2, W3), (b1, b2, b3) = net.coefs_, net.intercepts_
a1 = np.tanh(X @ W1 + b1)
a2 = np.tanh(a1 @ W2 + b2)
a3 = a2 @ W3 + b3

# %%
# **Backward.** The *error signal* of a neuron is how the error of an example changes with the
# neuron's net input, :math:`\delta = \partial E / \partial z`. At the output it is known at once,
# by the chain :math:`z \to a \to E`:
#
# .. math:: \delta = (a - y) \, f'(z)
#
# (Here that slope is 1. A *classifier*, a net that tells classes and not numbers, has another
# :math:`f` and another :math:`E` at the output, chosen so that :math:`\delta` is :math:`a - y`
# again. The slopes of hidden layers stay.)
#
# A hidden neuron :math:`j` acts on the error only through the neurons :math:`k` of the next layer.
# Its output goes to each of them with a weight :math:`w_{jk}`, so the chain has as many branches,
# :math:`z_j \to a_j \to z_k \to E`, and the derivative is the sum over the branches:
#
# .. math:: \delta_j = f'(z_j) \sum_k w_{jk} \, \delta_k
#
# The weights that carried the outputs forward carry the error signals back, and on its way through
# a neuron the signal is multiplied by the slope of its activation. In NumPy that is a line a layer
# (each row is a person; ``W3.T`` is ``W3`` with rows and columns exchanged, so that the sum is over
# the neurons of the next layer; the slope of tanh is :math:`1 - a^2`):
delta3 = a3 - y[:, np.newaxis]  # the slope of f(z) = z is 1
delta2 = (delta3 @ W3.T) * (1 - a2**2)
delta1 = (delta2 @ W2.T) * (1 - a1**2)

# %%
# **The derivatives.** The net input of neuron :math:`j` contains :math:`w_{ij} a_i`, where
# :math:`a_i` is what comes in. So the last link of every weight's chain is :math:`a_i`, and that of
# the bias is 1:
#
# .. math:: \frac{\partial E}{\partial w_{ij}} = a_i \, \delta_j, \qquad
#    \frac{\partial E}{\partial b_j} = \delta_j
#
# The mean over the people is the gradient; each product of matrices below sums over them. The
# library's gradient is the same, for all 99 weights:
n = len(X)
by_hand = [X.T @ delta1 / n, a1.T @ delta2 / n, a2.T @ delta3 / n]
by_hand += [delta.mean(axis=0) for delta in (delta1, delta2, delta3)]

network = Network((10, 6, 4, 1), "tanh")
parameters = network.pack(net.coefs_, net.intercepts_, X.dtype)
E, gradient = loss_and_gradient(network, parameters, X, y)
assert np.allclose(gradient, np.concatenate([each.ravel() for each in by_hand]))

# %%
# The person whose error is largest, in a picture. Yellow discs are positive, grey ones about 0,
# blue ones negative, and white ones not yet worked out. First the outputs of all neurons, from left
# to right. Then the error signals: that of the output, which is how far the prediction is off, and
# from there to the left. A thick line carries much of the signal, a thin one little, a dashed one
# turns its sign. Then comes the slope: the second neuron of four has the thickest line to the
# output, but a small signal, since with its output of -0.94 its slope is only 0.11.
person = np.argmax(np.abs(delta3))
signals = [None, delta1[person], delta2[person], delta3[person]]
panels = {
    r"forward $\rightarrow$: the outputs": [X[person], a1[person], a2[person], a3[person]],
    "the error signal of the output": [None, None, None, signals[3]],
    r"$\leftarrow$ carried to the second hidden layer": [None, None, *signals[2:]],
    r"$\leftarrow$ carried to the first hidden layer": signals,
}
figure, axes = plt.subplots(2, 2, figsize=(9.5, 8.3), layout="constrained")
colours = plt.cm.ScalarMappable(plt.Normalize(-2, 2), "cividis")
beside = {"textcoords": "offset points", "xytext": (0, 9), "ha": "center", "fontsize": "x-small"}
beside["bbox"] = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
for ax, (title, values) in zip(axes.flat, panels.items(), strict=True):
    display = NetworkDisplay.from_estimator(net, ax=ax)
    display.colorbar_.remove()
    ax.set_title(title, fontsize="medium")
    for layer, (discs, numbers) in enumerate(zip(display.units_, values, strict=True)):
        discs.set(sizes=[150], facecolor="white", linestyle="-")
        if numbers is not None:
            discs.set_facecolor(colours.to_rgba(numbers))
            for place, number in zip(discs.get_offsets(), numbers, strict=True):
                ax.annotate(f"{number:.2f}" if layer else "", place, **beside)
figure.colorbar(colours, ax=axes, label="output or error signal", shrink=0.5, extend="both")

# %%
# A slope of tanh is 1 at most, mostly less, so on a long way back signals grow weak, unless large
# weights make up for it. The *logistic* activation, an S from 0 to 1, has slopes
# of 1/4 at most; *relu*, :math:`f(z) = \max(0, z)`, has slope 1 or 0. Eight hidden layers, at their
# random start: the first layers of the logistic net hear next to nothing. (For one example, the
# derivative of a bias is the error signal itself; that is how the script gets at it.)
figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
for activation, style in (("tanh", "ko-"), ("logistic", "rs--"), ("relu", "b^:")):
    deep = Network((10, *[20] * 8, 1), activation)
    start = deep.initial_parameters(np.random.RandomState(0), X.dtype)
    sizes = np.zeros(9)
    for x, target in zip(X[:100], y[:100], strict=True):
        _, gradient = loss_and_gradient(deep, start, [x], [target])
        sizes += [np.abs(delta).mean() / 100 for delta in deep.unpack(gradient)[1]]
    ax.plot(range(1, 10), sizes, style, label=activation)
ax.set(xlabel="layer (9 is the output)", ylabel="mean size of error signals", yscale="log")
ax.legend()

# %%
# A pass backward costs at most about twice as much as one forward, however many weights there are
# (sources: :doc:`page 9 <plot_9_a_real_net>`). :doc:`Next <plot_7_slope_zero>`: a gradient of 0.
plt.show()
