"""``python -m fastbp``: batch modes compared on real data, by scikit-learn's own grid search."""

import warnings
from typing import Any, NamedTuple

from sklearn.base import RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp.cli.terminal import progress, timed
from fastbp.estimators.regressor import BackpropRegressor

__all__ = ["demo"]

EPOCHS = 20

#: The more rows a step averages over, the longer it may be: each mode chooses from its own rates.
RATES: dict[int | str, tuple[float, ...]] = {
    "online": (0.00003, 0.0001, 0.0003, 0.001),
    8: (0.0003, 0.001, 0.003, 0.01),
    32: (0.0003, 0.001, 0.003, 0.01),
    "full": (0.003, 0.01, 0.03, 0.1),
}


class Setting(NamedTuple):
    """One batch size and learning rate, cross-validated; seconds are those of one fit."""

    batch_size: int | str
    learning_rate: float
    r2: float
    r2_deviation: float
    seconds: float


def demo() -> None:
    """Compare batch modes on the diabetes data, and their time with MLPRegressor's."""
    X, y = load_diabetes(return_X_y=True)
    print(
        f"Diabetes data of scikit-learn: {X.shape[0]} rows, {X.shape[1]} inputs, scaled like the "
        f"target.\nOne hidden layer of 50 tanh units, sgd with momentum, {EPOCHS} epochs; 5-fold "
        "cross-validation in one thread.\n"
    )
    with warnings.catch_warnings():
        # 20 epochs are meant to end before convergence, and "full" to be clipped to the fold.
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Got `batch_size`")
        with timed("Compiling, or loading what was compiled before:"):
            _warm_up(X[:40], y[:40])
        ours = _search_all_modes(X, y)
        _print_search(ours)
        best = {mode: max(found, key=lambda setting: setting.r2) for mode, found in ours.items()}
        theirs = _same_with_mlp_regressor(best, X, y)
    _print_comparison(best, theirs)
    _print_findings(best, theirs)


def _warm_up(X: Any, y: Any) -> None:
    for batch_size in ("online", 8):
        net = BackpropRegressor("squared_error", (2,), "tanh", solver="sgd", max_iter=1)
        net.set_params(batch_size=batch_size).fit(X, y / y.std()).predict(X)


def _search_all_modes(X: Any, y: Any) -> dict[int | str, list[Setting]]:
    found = {}
    with progress("grid search", len(RATES)) as advance:
        for mode, rates in RATES.items():
            found[mode] = _search(BackpropRegressor(), mode, mode, rates, X, y)
            advance(1)
    return found


def _same_with_mlp_regressor(
    best: dict[int | str, Setting], X: Any, y: Any
) -> dict[int | str, Setting]:
    rows = {"online": 1, "full": len(X)}
    theirs = {}
    with progress("MLPRegressor", len(best)) as advance:
        for mode, setting in best.items():
            batch_size = rows.get(str(mode), mode)
            rates = (setting.learning_rate,)
            theirs[mode] = _search(MLPRegressor(), mode, batch_size, rates, X, y)[0]
            advance(1)
    return theirs


def _search(
    net: RegressorMixin,
    mode: int | str,
    batch_size: int | str,
    rates: tuple[float, ...],
    X: Any,
    y: Any,
) -> list[Setting]:
    """Cross-validate one batch size with some learning rates."""
    net.set_params(
        hidden_layer_sizes=(50,),
        activation="tanh",
        solver="sgd",
        batch_size=batch_size,
        max_iter=EPOCHS,
        n_iter_no_change=EPOCHS,  # no fit stops before the others
        random_state=0,
    )
    scaled = make_pipeline(StandardScaler(), net)
    model = TransformedTargetRegressor(scaled, transformer=StandardScaler())
    name = f"regressor__{type(net).__name__.lower()}__learning_rate_init"
    folds = KFold(5, shuffle=True, random_state=0)
    search = GridSearchCV(model, {name: rates}, cv=folds, n_jobs=1, refit=False).fit(X, y)
    columns = ("mean_test_score", "std_test_score", "mean_fit_time")
    results = zip(*(search.cv_results_[column] for column in columns), strict=True)
    return [Setting(mode, rate, *result) for rate, result in zip(rates, results, strict=True)]


def _print_search(found: dict[int | str, list[Setting]]) -> None:
    print("\nGridSearchCV of BackpropRegressor (* the best learning rate of each mode)\n")
    print("  batch_size  learning_rate_init  R^2 (mean ± std)  seconds a fit")
    for settings in found.values():
        best = max(setting.r2 for setting in settings)
        for batch_size, rate, r2, deviation, seconds in settings:
            star = "*" if r2 == best else " "
            print(
                f"{star} {batch_size:>10}  {rate:18g}  {r2:8.3f} ± {deviation:.3f}  {seconds:13.4f}"
            )


def _print_comparison(best: dict[int | str, Setting], theirs: dict[int | str, Setting]) -> None:
    print(
        "\nThe starred settings with scikit-learn's MLPRegressor (scaling included in all times)\n"
    )
    print(
        "                    R^2 (mean ± std)              seconds a fit\n"
        "  batch_size         fastbp   MLPRegressor      fastbp  MLPRegressor  times faster"
    )
    for mode, (_, _, r2, deviation, seconds) in best.items():
        other = theirs[mode]
        print(
            f"  {mode:>10}  {r2:.3f} ± {deviation:.3f}  {other.r2:.3f} ± {other.r2_deviation:.3f}"
            f"  {seconds:10.4f}  {other.seconds:12.4f}  {other.seconds / seconds:12.1f}"
        )


def _print_findings(best: dict[int | str, Setting], theirs: dict[int | str, Setting]) -> None:
    ranked = sorted(best.values(), key=lambda setting: -setting.r2)
    winner, last = ranked[0], ranked[-1]
    within = "less" if winner.r2 - last.r2 < winner.r2_deviation else "more"
    faster = ", ".join(
        f"{theirs[mode].seconds / setting.seconds:.1f} ({mode})" for mode, setting in best.items()
    )
    print(
        f"\nBest: batch_size={winner.batch_size!r} with learning_rate_init="
        f"{winner.learning_rate:g}, R^2 {winner.r2:.3f} ± {winner.r2_deviation:.3f} "
        f"(modes differ by {within} than folds do); times faster than MLPRegressor: {faster}."
    )
