"""Warnings that point at the user's line, however deep below it they are given."""

import sys
import warnings

__all__ = ["warn"]

_OURS = ("fastbp", "sklearn", "joblib", "contextlib", "concurrent", "threading")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line that is neither fastbp's nor scikit-learn's.

    Parameters
    ----------
    message : str
        What to say.
    category : type of Warning, default=UserWarning
        Its kind.
    """
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(_OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
