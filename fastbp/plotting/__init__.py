"""Pictures, one Display a file; matplotlib is imported when one is drawn, not before.

A Display follows scikit-learn's convention: ``from_estimator`` draws a fitted estimator, ``plot``
draws again, ``ax_`` and ``figure_`` are where. ``style`` holds what they share, ``inside`` finds
the network in a pipeline or a search, ``training_curves`` are drawn by ``loss_curve``, ``planes``
and ``surface_drawing`` belong to ``error_surface``.
"""

from fastbp.plotting.error_histogram import ErrorHistogramDisplay
from fastbp.plotting.error_surface import ErrorSurfaceDisplay
from fastbp.plotting.loss_curve import LossCurveDisplay
from fastbp.plotting.network import NetworkDisplay
from fastbp.plotting.restarts import RestartsDisplay

__all__ = [
    "ErrorHistogramDisplay",
    "ErrorSurfaceDisplay",
    "LossCurveDisplay",
    "NetworkDisplay",
    "RestartsDisplay",
]
