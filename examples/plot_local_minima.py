"""
Restarts and local minima
=========================

A network's error has many minima, and where a training ends depends on where it starts. ``n_init``
tries several starts and keeps the best; ``init_losses_`` has what each of them came to.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor, RestartsDisplay

X, y = load_diabetes(return_X_y=True, scaled=False)
bmi = StandardScaler().fit_transform(X[:, [2]])

# %%
# The progress of diabetes by the body mass index (BMI), three hidden units, thirty starts. The
# first of them is the one that ``n_init=1`` makes of the same ``random_state``.
common = {"hidden_layer_sizes": (3,), "activation": "tanh", "solver": "lm", "scale_target": True}
common |= {"alpha": 0.01, "max_iter": 2000, "random_state": 0}
one = BackpropRegressor(n_init=1, **common).fit(bmi, y)
best = BackpropRegressor(n_init=30, **common).fit(bmi, y)

# %%
# Left: sorted by their final loss, starts that have ended at the same minimum are a step. Right:
# what the first start came to, and the best. The curvatures tell that both are minima. Which of
# them predicts new rows best is another question, for a validation set.
figure, (left, right) = plt.subplots(ncols=2, figsize=(10, 4), layout="constrained")
RestartsDisplay.from_estimator(best, ax=left)

grid = np.linspace(bmi.min(), bmi.max(), 300).reshape(-1, 1)
right.plot(bmi, y, ".", color="0.7", markersize=3)
for net, name, line in ((one, "first start", "--"), (best, "best of 30", "-")):
    right.plot(grid, net.predict(grid), line, label=f"{name}: loss {net.loss_:.4f}")
    print(f"{name}: {net.stationary_point(bmi, y).kind}")
right.set(xlabel="standardised BMI", ylabel="progress of the disease")
right.legend()
plt.show()
