"""
Watching a training, and looking back at it
===========================================

Callbacks of scikit-learn 1.9 are told of a training while it goes on; loss curves show it
afterwards.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from fastbp import BackpropRegressor, LossCurveDisplay

X, y = load_diabetes(return_X_y=True)
X, y = scale(X), scale(y)
common = {"hidden_layer_sizes": (20,), "activation": "tanh", "early_stopping": True}
nets = {
    "adam": BackpropRegressor(solver="adam", max_iter=500, random_state=0, **common),
    "rprop": BackpropRegressor(solver="rprop", random_state=0, **common),
    "bfgs": BackpropRegressor(solver="bfgs", random_state=0, **common),
}

# %%
# A progress bar (the package rich draws it), and a monitor that scores the network after every
# iteration. With an older scikit-learn the trainings run just as well, unwatched.
monitor = None
try:
    from sklearn.callback import ProgressBar, ScoringMonitor

    monitor = ScoringMonitor(scoring="neg_mean_absolute_error")
    nets["adam"].set_callbacks(ProgressBar(), monitor)
except ImportError as missing:
    print("No callbacks:", missing)

for net in nets.values():
    net.fit(X, y)

if monitor is not None:
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "iteration"]
    for row in rows[:: len(rows) // 5]:
        print(f"epoch {row['task_id']}: error {-row['neg_mean_absolute_error']:.3f}")

# %%
# The loss and the score on the validation rows, of all three, over the evaluations of the loss that
# they took. A star marks the weights that early stopping has kept.
LossCurveDisplay.from_estimators(nets, x="evaluations")
plt.show()
