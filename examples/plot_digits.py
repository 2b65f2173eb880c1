"""
Handwritten digits, and the doubtful ones
=========================================

A `BackpropClassifier` reads digits of 8 x 8 pixels. Its probabilities tell where it is not sure,
and where it is right to be in doubt.
"""

from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

from fastbp import BackpropClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16.0, y, random_state=0, stratify=y)

# %%
# Two hidden layers with an activation each. A tenth of the training rows is set aside, stratified,
# and training stops when their accuracy rises no more.
net = BackpropClassifier((64, 32), ["relu", "tanh"], max_iter=500, random_state=0)
net.set_params(early_stopping=True, learning_rate_init=0.003, n_iter_no_change=20)
net.fit(X_train, y_train)
probabilities = net.predict_proba(X_test)
print(f"{net.score(X_test, y_test):.1%} right after {net.n_iter_} epochs: {net.stop_reason_}")

# %%
# Left: what is taken for what. Right: the surer the network, the more often it is right, which is
# what a probability should mean.
figure, (left, right) = plt.subplots(ncols=2, figsize=(10, 4.4), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    y_test, net.predict(X_test), ax=left, cmap="Blues", colorbar=False
)
sureness, is_right = probabilities.max(axis=1), net.predict(X_test) == y_test
edges = np.array([0.0, 0.6, 0.9, 0.99, 1.0])
shares = [is_right[(low < sureness) & (sureness <= high)] for low, high in pairwise(edges)]
names = ["to 60 %", "60 to 90 %", "90 to 99 %", "above 99 %"]
bars = right.bar(names, [share.mean() for share in shares], color="#0072B2")
right.bar_label(bars, [f"{len(share)} digits" for share in shares])
right.set(xlabel="probability of its answer", ylabel="right answers", ylim=(0, 1.1))

# %%
# The twelve digits of which it is least sure: what it reads, how sure it is, and what was meant.
figure, axes = plt.subplots(2, 6, figsize=(9, 3.8), layout="constrained")
for ax, i in zip(axes.flat, np.argsort(sureness), strict=False):
    ax.imshow(X_test[i].reshape(8, 8), cmap="gray_r")
    read = probabilities[i].argmax()
    ax.set_title(f"{read} ({sureness[i]:.0%}), is {y_test[i]}", fontsize="medium")
    ax.set_axis_off()
plt.show()
