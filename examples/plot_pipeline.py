"""
A table with kinds, numbers and gaps
====================================

A network wants scaled numbers, all of them there. A `ColumnTransformer` makes such a table of any
other, and the whole pipeline is fitted, searched and kept as one model.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.impute import SimpleImputer
from sklearn.inspection import permutation_importance
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fastbp import BackpropRegressor

# %%
# Patients with diabetes, in their own units: years, mmHg, a body mass index. The sex is a kind and
# not a number, and we take away every tenth blood pressure, as real tables have it.
data = load_diabetes(as_frame=True, scaled=False)
X, y = data.data.copy(), data.target
X["sex"] = X["sex"].map({1.0: "one", 2.0: "two"})
X.loc[X.index % 10 == 0, "bp"] = np.nan
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
print(X_train.head(3))

# %%
# Kinds become columns of 0 and 1; gaps are filled with the mean, and a column tells where they
# were; then all numbers are scaled. ``scale_target=True`` does the same for the target, so the
# predictions are in its own units.
numbers = [name for name in X if name != "sex"]
columns = make_column_transformer(
    (OneHotEncoder(drop="if_binary"), ["sex"]),
    (make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), numbers),
)
net = BackpropRegressor(
    "squared_error", (10,), "tanh", solver="lm", alpha=30.0, scale_target=True, random_state=0
)
model = make_pipeline(columns, net).fit(X_train, y_train)
print(f"R^2 {model.score(X_test, y_test):.2f} on patients that it has not seen")
# sphinx_gallery_capture_repr = ("_repr_html_",)
model

# %%
# The pipeline takes the table as it is, so scikit-learn's tools see its own columns: here, how much
# worse the predictions are when one column is shuffled.
importance = permutation_importance(model, X_test, y_test, n_repeats=20, random_state=0)
order = importance.importances_mean.argsort()
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.boxplot(importance.importances[order].T, orientation="horizontal", tick_labels=X.columns[order])
ax.axvline(0, color="0.6", linewidth=1)
ax.set(xlabel="decrease of R^2 when the column is shuffled", title="What the predictions rest on")
plt.show()
