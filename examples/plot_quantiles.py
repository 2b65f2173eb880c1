"""
Quantiles, and whether they are right
=====================================

A network with a quantile loss predicts below which value the target stays in 5 %, 50 %, 95 % of
the cases. ``quantile=[...]`` learns several at once. Whether they hold is counted on new rows.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor

X, y = load_diabetes(return_X_y=True)
levels = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])

# %%
# One network with seven outputs, for two strengths of weight decay. Every patient is predicted by
# a network that has not seen him: ten folds.
predictions = {}
for alpha in (0.01, 10.0):
    net = BackpropRegressor("quantile", (10,), "tanh", alpha=alpha, random_state=0)
    net.set_params(quantile=levels.tolist(), scale_target=True, max_iter=5000, tol=1e-3)
    model = make_pipeline(StandardScaler(), net.set_params(learning_rate_init=0.01))
    predictions[alpha] = np.sort(cross_val_predict(model, X, y, cv=10))

# %%
# Left: how many patients are below each predicted quantile. With next to no weight decay the
# network has learnt the noise of its patients, and is too sure about others. Right: the
# predicted intervals of every fourth patient, in the order of their medians.
figure, (left, right) = plt.subplots(ncols=2, figsize=(10, 4.4), layout="constrained")
left.plot([0, 1], [0, 1], color="0.6", linewidth=1)
for (alpha, quantiles), marker in zip(predictions.items(), "so", strict=True):
    below = (y[:, np.newaxis] <= quantiles).mean(axis=0)
    left.plot(levels, below, marker=marker, label=f"alpha = {alpha:g}")
    inside = below[-1] - below[0]
    print(f"alpha={alpha:g}: {inside:.0%} of the patients are in the interval of 90 %")
left.set(xlabel="quantile", ylabel="share of patients below it", aspect="equal")
left.legend()

quantiles = predictions[10.0]
shown = np.argsort(quantiles[:, 3])[::4]
place = np.arange(len(shown))
for low, high, shade in ((0, 6, 0.2), (1, 5, 0.3), (2, 4, 0.5)):
    label = f"{levels[high] - levels[low]:.0%}"
    ends = quantiles[shown, low], quantiles[shown, high]
    right.fill_between(place, *ends, color="#0072B2", alpha=shade, linewidth=0, label=label)
right.plot(place, y[shown], "k.", markersize=4, label="what came to pass")
right.set(xlabel="patients, by predicted median", ylabel="progress of the disease")
right.legend(title="interval of", loc="upper left", fontsize="small")
plt.show()
