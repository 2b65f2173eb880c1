"""
Decision boundaries and weight decay
====================================

scikit-learn's `DecisionBoundaryDisplay` draws the regions of a `BackpropClassifier`, as of any
other classifier. Here they show what ``alpha``, the strength of the weight decay, does.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_wine
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropClassifier

# %%
# Three cultivars of wine, and two of the thirteen measurements, since a picture has two axes.
wine = load_wine(as_frame=True)
X, y = wine.data[["alcohol", "color_intensity"]], wine.target
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

# %%
# Weight decay pulls the weights towards zero. With next to none the network bends its boundaries
# round single wines of the training rows; with far too much of it, one cultivar has no region left.
figure, axes = plt.subplots(ncols=3, figsize=(9, 3.2), sharey=True, layout="constrained")
colours = ["#0072B2", "#E69F00", "#009E73"]  # told apart by all kinds of colour vision
for ax, alpha in zip(axes, [1e-4, 1.0, 30.0], strict=True):
    net = BackpropClassifier((20, 20), "tanh", solver="lbfgs", alpha=alpha, random_state=0)
    model = make_pipeline(StandardScaler(), net.set_params(max_iter=2000, max_fun=20000))
    model.fit(X_train, y_train)
    DecisionBoundaryDisplay.from_estimator(
        model,
        X,
        ax=ax,
        response_method="predict",
        multiclass_colors=colours,
        alpha=0.4,
    )
    for label, marker in enumerate("os^"):
        rows = X_train[y_train == label]
        ax.scatter(*rows.T.to_numpy(), s=14, c=colours[label], marker=marker, edgecolors="black")
    ax.set_title(
        f"alpha = {alpha:g}\n{model.score(X_train, y_train):.0%} right in training,"
        f" {model.score(X_test, y_test):.0%} in test",
        fontsize="small",
    )
    ax.label_outer()
plt.show()
