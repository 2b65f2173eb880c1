r"""
5. Online and batch
===================

The error is a mean over examples, and so is its gradient. Must one look at all examples before
making a step? There are two ways:

- *Batch*: work out the gradient of all examples, and make one step.
- *Online*: work out the gradient of one example, make a step, and go on to the next example.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from fastbp import BackpropRegressor, ErrorSurfaceDisplay, LossCurveDisplay

# %%
# A neuron with :math:`f(z) = z`, two inputs, and only twenty people, so that single steps can be
# seen. The inputs are BMI and blood pressure.
diabetes = load_diabetes(as_frame=True)
twenty = slice(20, 40)
X = scale(diabetes.data[["bmi", "bp"]][twenty])
y = scale(diabetes.target[twenty])
common = {"hidden_layer_sizes": (), "solver": "sgd", "alpha": 0.0, "momentum": 0.0}
common |= {"learning_rate_init": 0.15, "random_state": 7}

# %%
# Batch, until the gradient is next to 0; `record_path` keeps the weights after each step:
batch = BackpropRegressor(batch_size="full", tol=0.0, gtol=1e-3, record_path=True, **common)
batch.fit(X, y)

# %%
# Online, from the same start and with the same learning rate: one example after the other, in a new
# random order for each *epoch*, as a pass over all examples is called. `learn_one` makes one step.
online = BackpropRegressor(**common)
rng = np.random.default_rng(0)
path = [batch.path_[0, :2]]
for _epoch in range(6):
    for i in rng.permutation(20):
        online.learn_one(X[i], y[i])
        path.append(online.coefs_[0].ravel().copy())
path = np.array(path)

# %%
# Both on the error surface. Batch goes where the arrows point. Online zigzags about that way: each
# step lowers the error of one example, and only on average that of all. Near the minimum the batch
# steps become small, since the gradient does. Online they do not: even there each single example
# has a gradient of its own and wants the weights elsewhere; these gradients are 0 in the mean only.
# So the online path ends in a cloud.
figure, (left, right) = plt.subplots(ncols=2, figsize=(9.5, 4.6), layout="constrained")
plane = {"plane": ((0, 0, 0), (0, 1, 0)), "limits": ((-1.4, 1.1), (-0.6, 1.5))}
ErrorSurfaceDisplay.from_estimator(batch, X, y, ax=left, **plane)
ErrorSurfaceDisplay.from_estimator(online, X, y, ax=right, arrows=False, **plane)
right.plot(*path.T, "k.-", linewidth=0.8, markersize=4)
right.plot(*path[0], "o", color="#D55E00", markeredgecolor="black", markersize=8)
for ax, title in (
    (left, f"batch: {batch.n_iter_} steps"),
    (right, f"online: {len(path) - 1} steps"),
):
    ax.set(xlabel="weight of the BMI", ylabel="weight of the blood pressure")
    ax.set_title(title, pad=34)

# %%
# Counted in steps, batch looks better. But a batch step looks at twenty examples, an online step at
# one. Counted in examples looked at, online was near the minimum after one pass, when batch had
# made one step. The more examples there are, and the more they resemble each other, the more this
# counts: of a million examples, any thousand give nearly the same gradient as all.
#
# All 442 people and ten inputs, over passes, each way with a learning rate that suits it. The third
# is the way between: *mini-batches*, a step after every 20 examples. The error is the mean over the
# examples of a pass, each just before its step; so online is lower from the first pass on, in which
# it has learnt already.
X, y = scale(diabetes.data), scale(diabetes.target)
nets = {}
for name, size, rate in (
    ("batch: 1 step a pass", "full", 0.15),
    ("mini-batch: 23 steps a pass", 20, 0.05),
    ("online: 442 steps a pass", "online", 0.005),
):
    nets[name] = BackpropRegressor(**common | {"batch_size": size, "learning_rate_init": rate})
    for _epoch in range(25):
        nets[name].partial_fit(X, y)  # one pass

figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
LossCurveDisplay.from_estimators(nets, ax=ax)
ax.set(xlabel="passes over the data (epochs)", ylabel="error E, mean of the pass")

# %%
# Online needs a smaller learning rate, or its cloud is large. With one that is made smaller and
# smaller it comes to rest (``learning_rate="invscaling"``). For small tables batch is the better
# choice, since it allows better steps than these: :doc:`page 8 <plot_8_valley>`. But first, the
# gradient of a whole net: :doc:`from the output back <plot_6_backwards>`.
plt.show()
