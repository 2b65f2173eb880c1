"""
In the place of MLPClassifier
=============================

The estimators take scikit-learn's parameters and draw scikit-learn's random numbers: a program
changes one name, and gets the same network sooner.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from fastbp import BackpropClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16.0, y, random_state=0)

# %%
# The same parameters for both. fastbp compiles its kernels once, at their first use, and keeps them
# for later processes; one epoch in advance keeps that out of the times.
parameters = {"hidden_layer_sizes": (50,), "batch_size": 32, "max_iter": 40, "tol": 0.0}
parameters |= {"n_iter_no_change": 100, "random_state": 0}
BackpropClassifier(**parameters).partial_fit(X_train, y_train, classes=np.arange(10))

nets, seconds = {}, {}
for kind in (MLPClassifier, BackpropClassifier):
    net = kind(**parameters)
    seconds[kind.__name__] = np.zeros(40)
    began = time.perf_counter()
    for epoch in range(40):
        net.partial_fit(X_train, y_train, classes=np.arange(10))
        seconds[kind.__name__][epoch] = time.perf_counter() - began
    nets[kind.__name__] = net

# %%
# The same weights, but for rounding.
theirs, ours = nets.values()
for layer, (their_weights, our_weights) in enumerate(zip(theirs.coefs_, ours.coefs_, strict=True)):
    difference = np.abs(their_weights - our_weights).max() / np.abs(their_weights).max()
    print(f"layer {layer + 1}: weights differ by {difference:.1e} of the largest")
print(f"right in test: {theirs.score(X_test, y_test):.2%} and {ours.score(X_test, y_test):.2%}")

# %%
# So the curves over epochs lie on each other, and over seconds they do not.
figure, (left, right) = plt.subplots(ncols=2, figsize=(10, 4), sharey=True, layout="constrained")
for (name, net), line, colour in zip(
    nets.items(), ("-", "--"), ("#E69F00", "#0072B2"), strict=True
):
    width = 4 if line == "-" else 1.5
    left.semilogy(range(1, 41), net.loss_curve_, line, color=colour, linewidth=width, label=name)
    right.semilogy(seconds[name], net.loss_curve_, line, color=colour, linewidth=width, label=name)
left.set(xlabel="epochs", ylabel="training loss")
right.set(xlabel="seconds", xscale="log")
left.legend()
plt.show()
