"""
What does a prediction depend on?
=================================

``input_gradient`` is the derivative of each prediction with respect to each input, by one backward
pass. Its size says how much an input matters, its sign in which direction, its spread whether that
is the same for all rows.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.inspection import permutation_importance
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor

data = load_diabetes(as_frame=True)
X, y = StandardScaler().set_output(transform="pandas").fit_transform(data.data), data.target
net = BackpropRegressor(
    "squared_error", (5,), "tanh", solver="lm", alpha=10.0, scale_target=True, random_state=0
)
net.fit(X, y)

# %%
# (n_samples, n_outputs, n_features), in the units of y for one unit of an input. The inputs are
# standardised, so one unit is one standard deviation, and features can be compared.
gradient = net.input_gradient(X)[:, 0]
order = np.argsort(np.abs(gradient).mean(axis=0))
importance = permutation_importance(net, X, y, n_repeats=5, random_state=0).importances_mean

# %%
# Left: a box for each feature, over all patients. Right: how far the score falls when a feature is
# shuffled, which costs many predictions and has no sign.
figure, (left, right) = plt.subplots(ncols=2, figsize=(9, 4), sharey=True, layout="constrained")
left.boxplot(gradient[:, order], orientation="horizontal", showfliers=False, whis=(5, 95))
left.set_yticks(range(1, 11), X.columns[order])
left.axvline(0, color="0.7", zorder=0)
left.set(title="input gradient", xlabel="change of y for a standard deviation")
right.barh(range(1, 11), importance[order], color="#0072B2")
right.set(title="permutation importance", xlabel="loss of R²")
plt.show()
