"""
A grid search, side by side
===========================

`BackpropSearchCV` is a `GridSearchCV` that trains the networks of all folds and parameters in one
go. It gives the same scores.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropClassifier, BackpropSearchCV

X, y = load_breast_cancer(return_X_y=True)

# %%
# How many hidden units, and how strong a weight decay? Three sizes, four decays and three folds are
# 36 networks. A number for ``random_state`` gives each of them the same start in both searches.
net = BackpropClassifier(activation="tanh", solver="lbfgs", max_iter=1000, tol=1e-3, random_state=0)
model = make_pipeline(StandardScaler(), net)
units, decays = [(2,), (5,), (10,)], [0.1, 1.0, 10.0, 100.0]
grid = {
    "backpropclassifier__hidden_layer_sizes": units,
    "backpropclassifier__alpha": decays,
}
search = BackpropSearchCV(model, grid, scoring="neg_log_loss", cv=3, n_jobs=2).fit(X, y)
print("The best:", search.best_params_, f"log loss {-search.best_score_:.4f}")

# %%
# The same search, network after network.
one_by_one = GridSearchCV(model, grid, scoring="neg_log_loss", cv=3).fit(X, y)
difference = search.cv_results_["mean_test_score"] - one_by_one.cv_results_["mean_test_score"]
print(f"The scores differ by {np.abs(difference).max():.1e} at most")

# %%
# The weight decay decides; the number of units hardly matters, once the decay is right.
losses = -search.cv_results_["mean_test_score"].reshape(len(decays), len(units))
figure, ax = plt.subplots(figsize=(6, 4.5), layout="constrained")
image = ax.imshow(losses, cmap="cividis_r", norm="log")
for row, column in np.ndindex(losses.shape):
    loss = losses[row, column]
    colour = "white" if loss > np.sqrt(losses.min() * losses.max()) else "black"
    ax.text(column, row, f"{loss:.3f}", ha="center", va="center", color=colour)
ax.set_xticks(range(len(units)), [size for (size,) in units])
ax.set_yticks(range(len(decays)), decays)
ax.set(xlabel="hidden units", ylabel="alpha", title="Log loss, mean of three folds")
figure.colorbar(image, label="log loss")
plt.show()
