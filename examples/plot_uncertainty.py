"""
How sure is a prediction?
=========================

Three ways to an interval round a prediction. Laplace's approximation and a committee give a
standard deviation, by ``predict(X, return_std=True)``; quantile losses learn the interval itself.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from fastbp import BackpropRegressor

# %%
# The progress of diabetes over a year, by the body mass index (BMI). The intervals are to hold 80 %
# of the patients; those of the test set tell whether they do.
X, y = load_diabetes(return_X_y=True, scaled=False)
X = (X[:, [2]] - 26) / 4.4  # standardised BMI
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
grid = np.linspace(X.min() - 1, X.max() + 1.5, 200).reshape(-1, 1)
common = {"hidden_layer_sizes": (5,), "activation": "tanh", "scale_target": True, "random_state": 0}

# %%
# Laplace's approximation, after Levenberg-Marquardt with Bayesian regularisation: noise, estimated
# from the residuals, and doubt about the weights, which grows where there are no data. The noise
# is taken to be the same everywhere.
laplace = BackpropRegressor(solver="lm", alpha="bayes", max_iter=1000, **common)
laplace.fit(X_train, y_train)

# %%
# A committee: the networks of twenty random starts. Their spread is doubt alone, about which of the
# minima is right. It says nothing of the noise, so far fewer patients lie within.
committee = BackpropRegressor(
    solver="lm", alpha=0.02, n_init=20, keep_all=True, max_iter=1000, **common
)
committee.fit(X_train, y_train)

# %%
# Quantile losses: a network whose outputs are the 10, 50 and 90 % quantiles. The noise may differ
# from place to place, here it grows with the BMI; but nothing widens where there are no data.
quantiles = BackpropRegressor(
    "quantile", quantile=[0.1, 0.5, 0.9], solver="lbfgs", alpha=1.0, max_iter=2000, **common
)
quantiles.fit(X_train, y_train)


# %%
# All three in one picture.
def with_std(net, X):
    """Give the lower end, the middle and the upper end of the 80 % interval."""
    mean, std = net.predict(X, return_std=True)
    return mean - 1.28 * std, mean, mean + 1.28 * std


ways = {
    "Laplace (lm, alpha='bayes')": lambda X: with_std(laplace, X),
    "committee of 20 (keep_all=True)": lambda X: with_std(committee, X),
    "quantile losses 0.1, 0.5, 0.9": lambda X: quantiles.predict(X).T,
}
figure, axes = plt.subplots(ncols=3, figsize=(10, 3.6), sharey=True, layout="constrained")
for ax, (name, interval) in zip(axes, ways.items(), strict=True):
    low, middle, high = interval(grid)
    ax.plot(X_train, y_train, ".", color="0.6", markersize=3)
    ax.fill_between(grid[:, 0], low, high, color="#E69F00", alpha=0.5, label="80 % interval")
    ax.plot(grid[:, 0], middle, color="#0072B2", label="prediction")
    low, _, high = interval(X_test)
    held = np.mean((low <= y_test) & (y_test <= high))
    ax.set_title(f"{name}\nholds {held:.0%} of the test set", fontsize="medium")
    ax.set(xlabel="standardised BMI", ylim=(-50, 450))
axes[0].set_ylabel("progress of the disease")
axes[0].legend(loc="upper left", fontsize="small")
plt.show()
