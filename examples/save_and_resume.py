"""
Saving, and going on after a crash
==================================

A model is saved without pickle: the file holds numbers and text, and nothing in it is ever run. A
long training keeps a checkpoint while it runs, and goes on from there to the same bits.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from fastbp import BackpropClassifier, load, save

X, y = load_digits(return_X_y=True)
folder = Path(tempfile.mkdtemp())

# %%
# `save` writes an estimator, or a pipeline with a scaler before one; `load` gives it back.
net = BackpropClassifier((30,), early_stopping=True, random_state=0)
model = make_pipeline(MinMaxScaler(), net).fit(X[:1200], y[:1200])
save(model, folder / "digits.fastbp")
again = load(folder / "digits.fastbp")
assert (again.predict_proba(X) == model.predict_proba(X)).all()
print(f"{again.score(X[1200:], y[1200:]):.1%} right, after loading")

# %%
# A damaged file, here one cut short, is refused, and so is one that holds anything else.
written = (folder / "digits.fastbp").read_bytes()
(folder / "damaged.fastbp").write_bytes(written[:-8])
try:
    load(folder / "damaged.fastbp")
except ValueError as error:
    print("Refused:", error)

# %%
# With ``checkpoint`` a training writes its whole state every so many seconds (0: after each epoch),
# in one step: whenever the process dies, the file is the newest state or the one before, never
# half of each. Here a training ends after 20 epochs, by its own limit, as if it had been killed.
kept = folder / "kept.fastbp"
settings = {"hidden_layer_sizes": (30,), "tol": 1e-3, "random_state": 0}
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ConvergenceWarning)
    short = BackpropClassifier(max_iter=20, checkpoint=kept, checkpoint_every=0, **settings)
    short.fit(X, y)

# %%
# The same `fit` with ``resume_from`` goes on from there, and ends with the bits of a training that
# nothing has interrupted.
whole = BackpropClassifier(max_iter=500, **settings).fit(X, y)
resumed = BackpropClassifier(max_iter=500, **settings).fit(X, y, resume_from=kept)
assert resumed.loss_curve_ == whole.loss_curve_
assert all(map(np.array_equal, resumed.coefs_, whole.coefs_))
print(f"Both ended after {whole.n_iter_} epochs with loss {whole.loss_:.2g}")
