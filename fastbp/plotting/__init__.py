"""Pictures, one Display a file; matplotlib is imported when one is drawn, not before."""

from fastbp.plotting.loss_curve import LossCurveDisplay

__all__ = ["LossCurveDisplay"]
