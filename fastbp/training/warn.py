"""Warnings that point at the user's line, however deep below it they are given.

They belong to the module "fastbp", wherever they point:
``warnings.filterwarnings("ignore", module="fastbp")`` is rid of them all. A filter for one kind
goes by its category (`ConvergenceWarning`) or its first words.
"""

import sys
import warnings

__all__ = ["warn"]

_PASSED_OVER = {"fastbp", "sklearn", "joblib", "contextlib", "concurrent", "dask", "distributed"}

#: Where a worker's frames begin, whose user's line is in another thread or process.
_WORKERS = {"threading", "multiprocessing"}


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line that is neither fastbp's nor scikit-learn's nor joblib's.

    In a worker there may be none; the warning then points at the method that the worker called.

    Parameters
    ----------
    message : str
        What to say.
    category : type of Warning, default=UserWarning
        Its kind.
    """
    frame = place = sys._getframe(1)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package in _WORKERS:
            break
        if package not in _PASSED_OVER:
            place = frame
            break
        if package == "fastbp":
            place = frame
        frame = frame.f_back  # type: ignore[assignment]
    warnings.warn_explicit(
        message,
        category,
        place.f_code.co_filename,
        place.f_lineno,
        module="fastbp",
        registry=place.f_globals.setdefault("__warningregistry__", {}),
    )
