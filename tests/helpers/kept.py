"""What is kept in ``tests/data`` from one version to the next: loss curves, and a pickled model.

From ``tests``, ``python -m helpers.kept`` writes the files anew. That is right where a change is
meant to change numbers, or, before a release, what a pickle holds; the pickles of releases stay.
"""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np

from fastbp import BackpropRegressor, __version__
from helpers.fits import MODES

DATA = Path(__file__).resolve().parent.parent / "data"
CURVES = DATA / "loss_curves.json"
N_ITERATIONS = 8  # so few that a difference in rounding has not grown


def rows():
    """Inputs and targets that are exact on every machine."""
    i = np.arange(48)
    X = np.stack([i * k % 17 for k in (3, 5, 11)], axis=1) / 8 - 1
    return X, X[:, 0] * X[:, 1] - X[:, 2] / 2


def fit(mode, **parameters):
    """Fit a small network for a few iterations."""
    net = BackpropRegressor(
        hidden_layer_sizes=(5, 4), activation="tanh", max_iter=N_ITERATIONS, tol=0, random_state=0,
        learning_rate_init=0.01, n_iter_no_change=100, **MODES[mode] | parameters,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it ends early
        return net.fit(*rows())


def main():
    """Write the files."""
    DATA.mkdir(exist_ok=True)
    curves = {mode: [float(loss) for loss in fit(mode).loss_curve_] for mode in MODES}
    CURVES.write_text(json.dumps(curves, indent=1) + "\n")
    net, path = fit("adam-16"), DATA / f"regressor-{__version__}"
    path.with_suffix(path.suffix + ".pkl").write_bytes(pickle.dumps(net, protocol=4))
    path.with_suffix(path.suffix + ".json").write_text(json.dumps(net.predict(rows()[0]).tolist()))


if __name__ == "__main__":
    main()
