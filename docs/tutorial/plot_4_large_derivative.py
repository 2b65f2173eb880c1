r"""
4. A large derivative makes a large step
========================================

A step is the learning rate times the derivative. So the derivative says not only which way to go,
but also how far. Mostly that is what one wants; this page shows when, and when not.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from fastbp import BackpropRegressor

BLUE, ORANGE, RED = "#0072B2", "#E69F00", "#D55E00"

# %%
# From here on the data are real: 442 people with diabetes, measured when they came to a clinic, and
# how far the disease had got a year later. First one input, the body mass index (BMI), and a neuron
# with :math:`f(z) = z`. (scikit-learn brings the data.) Both columns are *standardised*: the mean
# is 0, the standard deviation 1. The learning rate is 0.25.
diabetes = load_diabetes(as_frame=True)
X, y = scale(diabetes.data[["bmi"]]), scale(diabetes.target)

plain = {"solver": "sgd", "alpha": 0.0, "momentum": 0.0}  # steps as on page 2
net = BackpropRegressor(hidden_layer_sizes=(), batch_size="full", random_state=22, **plain)
net.set_params(learning_rate_init=0.25, tol=0.0, gtol=1e-4, record_path=True).fit(X, y)
steps = net.path_[:9, 0]  # where the weight was; the bias starts next to 0, and stays there

# %%
# The error of such a neuron is a parabola over its weight. Far from the minimum it is steep, and
# the steps are large; near the minimum they become small by themselves, and stop there.
w = np.linspace(-1.2, 1.5, 101)
errors = ((X * w - y[:, np.newaxis]) ** 2 / 2).mean(axis=0)

figure, (left, right) = plt.subplots(ncols=2, figsize=(8.5, 3.1), layout="constrained")
left.plot(w, errors, color="0.5")
left.plot(steps, np.interp(steps, w, errors), "o-", color=BLUE)
left.set(xlabel="weight of the BMI", ylabel="error E")
right.bar(range(1, 9), np.abs(np.diff(steps)), color=BLUE)
right.set(xlabel="step", ylabel="how far the weight moves")

# %%
# But the derivative of the error is a product, and the slope of the activation is a factor in it.
# That of tanh is 1 in the middle and falls to 0 on both sides, where tanh is flat. A neuron whose
# net input is there is called *saturated*: whatever its error, its weights hardly move.
#
# Left: tanh and its slope; the arrows at :math:`z` = 0, 1, 2.5 and 4 are twice as long as the slope
# there, so the last two cannot be seen. Right: a real update. A net has four hidden neurons, alike
# but for their biases, which put their net inputs at the same four points. It learns one example.
# Of the factors in the chain from a hidden weight to the error, only the slope differs between the
# four; so their weights move as far as their slopes allow.
z = np.array([0.0, 1.0, 2.5, 4.0])
a, slopes = np.tanh(z), 1 - np.tanh(z) ** 2

net = BackpropRegressor(activation="tanh", hidden_layer_sizes=(4,), learning_rate_init=1.0, **plain)
net.partial_fit([[1.0]], [0.0])  # makes the arrays of weights, into which we write ours
net.coefs_, net.intercepts_ = [np.full((1, 4), 0.5), np.full((4, 1), 0.5)], [z - 0.5, np.zeros(1)]
before = net.coefs_[0].copy()
net.learn_one([1.0], 0.0)
moved = np.abs(net.coefs_[0] - before).ravel()
assert np.allclose(moved / moved[0], slopes)  # the slope at z = 0 is 1

figure, (left, right) = plt.subplots(ncols=2, figsize=(9, 3.3), layout="constrained")
grid = np.linspace(-5, 5, 201)
left.plot(grid, np.tanh(grid), color="black", label="f(z) = tanh(z)")
left.plot(grid, 1 - np.tanh(grid) ** 2, "--", color=ORANGE, linewidth=2, label="its slope f'(z)")
head = {"width": 0.008, "headwidth": 3, "headlength": 3, "headaxislength": 3, "minlength": 0}
left.quiver(z, a, 2 * slopes, 0 * z, color=RED, angles="xy", scale_units="xy", scale=1, **head)
left.plot(z, a, "o", color=RED)
left.set(xlabel="net input z", ylabel="output, slope")
left.legend(fontsize="small")
bars = right.bar([f"{each:g}" for each in z], moved, color=RED)
right.bar_label(bars, fmt="%.2g")
right.margins(y=0.12)
right.set(xlabel="net input z of the neuron", ylabel="how far its weight moves")

# %%
# So a small derivative has two meanings: the minimum is near, or a neuron is saturated and the
# minimum may be far away. The second is to be avoided. That is why the first weights are small
# random numbers, and why inputs are standardised. With the BMI as it is, a number like 26, and a
# weight of 0.5, the slope of tanh is nearly 0 for everybody; standardised, it is not:
raw = load_diabetes(scaled=False).data[:, 2]
for name, bmi in (("as it is", raw), ("standardised", X.ravel())):
    slopes = 1 - np.tanh(0.5 * bmi) ** 2
    print(f"BMI {name}: mean slope {slopes.mean():.2g}")

# %%
# So far a step was made after all examples. It can also be :doc:`made after each of them
# <plot_5_online_and_batch>`.
plt.show()
