"""
Looking at the errors
=====================

One number says little of how a network predicts. scikit-learn's `PredictionErrorDisplay` shows the
errors over the predictions, `ErrorHistogramDisplay` how they are spread, in training and in test.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.metrics import PredictionErrorDisplay
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropRegressor, ErrorHistogramDisplay

X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
net = BackpropRegressor(
    "squared_error", (20,), "tanh", solver="lm", alpha=0.3, scale_target=True, random_state=0
)
model = make_pipeline(StandardScaler(), net.set_params(max_iter=1000)).fit(X_train, y_train)

# %%
# With so little weight decay twenty hidden units learn the training rows by heart: the errors of
# the test rows are spread far wider. They are in the units of y.
rows = {"training": (X_train, y_train), "test": (X_test, y_test)}
print({name: f"R² is {model.score(*Xy):.2f}" for name, Xy in rows.items()})
figure, (left, right) = plt.subplots(ncols=2, figsize=(10, 4), layout="constrained")
PredictionErrorDisplay.from_estimator(model, X_test, y_test, kind="residual_vs_predicted", ax=left)
left.set_title("test rows")
ErrorHistogramDisplay.from_estimator(model, rows, ax=right)
plt.show()

# %%
# A hundred times the weight decay: it learns less of these patients, and more of the disease.
model.set_params(backpropregressor__alpha=30).fit(X_train, y_train)
print({name: f"R² is {model.score(*Xy):.2f}" for name, Xy in rows.items()})
ErrorHistogramDisplay.from_estimator(model, rows)
plt.show()
