"""
How many starts are enough
==========================

``n_init`` tries several random starts and keeps the one with the lowest loss. What one more start
may be expected to bring can be worked out from the losses of those that there were.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import hypergeom
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor

X, y = load_diabetes(return_X_y=True, scaled=False)
bmi = StandardScaler().fit_transform(X[:, [2]])

# %%
# Sixty starts for each of three sizes, progress of diabetes by the body mass index.
n_starts = 60
nets = {}
for size in (2, 4, 8):
    net = BackpropRegressor("squared_error", (size,), "tanh", solver="lm", alpha=0.01, n_jobs=2)
    net.set_params(n_init=n_starts, scale_target=True, max_iter=3000, random_state=0)
    nets[size] = net.fit(bmi, y)


# %%
# The best of k starts, in the mean over all ways to take k of the sixty: the j-th smallest loss is
# the best with a probability that a hypergeometric distribution gives.
def expected_best(losses, k):
    """Give the mean of the smallest of k losses, taken without replacement."""
    losses, n = np.sort(losses), len(losses)
    # None of the j smallest among the k taken.
    none_before = hypergeom(n, np.arange(n + 1), k).pmf(0)
    return losses @ -np.diff(none_before)


# %%
# How many starts a network needs is not to be guessed from its size: with four units most of them
# end at the lowest loss, with two or eight few do. And the lowest loss is not the aim: the curve of
# the largest network bends after single patients. Restarts find a better minimum of the training
# error; how many units, and how much decay, is for rows set aside to say.
figure, (left, right) = plt.subplots(ncols=2, figsize=(10, 4.2), layout="constrained")
k = np.arange(1, n_starts + 1)
for (size, net), marker in zip(nets.items(), "os^", strict=True):
    best = np.array([expected_best(net.init_losses_, each) for each in k])
    left.plot(k, best / net.loss_ - 1, marker=marker, markevery=8, label=f"{size} hidden units")
    ended_there = np.mean(net.init_losses_ < net.loss_ * 1.0001)
    print(f"{size} units: {ended_there:.0%} of the starts end at the lowest loss")
left.set(xlabel="starts", ylabel="expected loss over the lowest, less 1", xscale="log")
left.set_yscale("symlog", linthresh=1e-4)
left.set_ylim(bottom=0)
left.legend()

grid = np.linspace(bmi.min(), bmi.max(), 300).reshape(-1, 1)
right.plot(bmi, y, ".", color="0.8", markersize=3)
for (size, net), line in zip(nets.items(), ("-", "--", ":"), strict=True):
    right.plot(grid, net.predict(grid), line, label=f"{size} hidden units")
right.set(xlabel="standardised BMI", ylabel="progress of the disease")
right.legend()
plt.show()
