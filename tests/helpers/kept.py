"""What is kept in ``tests/data`` from one version to the next: loss curves, and saved models.

From ``tests``, ``python -m helpers.kept`` writes the files anew. That is right where a change is
meant to change numbers, or, before a release, what a pickle holds; the pickles of releases stay. A
file of `fastbp.save` that is there is never written anew: it is to be readable for ever.
"""

import json
import pickle
import warnings
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor, __version__, save
from fastbp.estimators.table_encoder import TableEncoder
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


def kept_models():
    """Models to keep as files of `fastbp.save`, by name, as functions that fit them."""

    def classify(labels, **parameters):
        X, _ = rows()
        return BackpropClassifier((4,), max_iter=8, random_state=0, **parameters).fit(X, labels)

    X, y = rows()
    number = np.arange(len(X)) % 3
    return {
        "regressor": lambda: fit("adam-16", scale_target=True, early_stopping=True),
        "float32": lambda: BackpropRegressor(
            hidden_layer_sizes=(3, 2), activation=["tanh", "relu"], max_iter=8, random_state=0
        ).fit(X.astype(np.float32), y.astype(np.float32)),
        "bayes": lambda: fit("lm", alpha="bayes"),
        "classifier": lambda: classify(np.array(["a", "b", "c"])[number], solver="sgd"),
        "multilabel": lambda: classify(np.eye(3, dtype=int)[number], class_weight=None),
        "pipeline": lambda: make_pipeline(
            StandardScaler(), MinMaxScaler(), BackpropRegressor(
                hidden_layer_sizes=(4,), max_iter=8, random_state=np.random.RandomState(0)
            )
        ).fit(X, y),
        "table": lambda: make_pipeline(TableEncoder(), StandardScaler(), BackpropRegressor(
            hidden_layer_sizes=(4,), max_iter=8, random_state=0
        )).fit(_with_text(X), y),
    }  # fmt: skip


def _with_text(X):
    """Numbers of which the first column is text and one is missing."""
    table = X.astype(object)
    table[:, 0] = list(map(str, X[:, 0]))
    table[3, 1] = None
    return table


def save_models():
    """Save those of `kept_models` that are not there."""
    for name, make in kept_models().items():
        path = DATA / f"format-1-{name}.fastbp"
        if not path.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it ends early
                model = make()
            save(model, path)
            predict = getattr(model, "predict_proba", model.predict)
            path.with_suffix(".json").write_text(json.dumps(predict(rows()[0]).tolist()))


def main():
    """Write the files."""
    DATA.mkdir(exist_ok=True)
    curves = {mode: [float(loss) for loss in fit(mode).loss_curve_] for mode in MODES}
    CURVES.write_text(json.dumps(curves, indent=1) + "\n")
    net, path = fit("adam-16"), DATA / f"regressor-{__version__}"
    path.with_suffix(path.suffix + ".pkl").write_bytes(pickle.dumps(net, protocol=4))
    path.with_suffix(path.suffix + ".json").write_text(json.dumps(net.predict(rows()[0]).tolist()))
    save_models()


if __name__ == "__main__":
    main()
