"""Pictures of a training: loss, validation and gradient."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastbp.plotting.style import DASH, check_axes, label_seconds, marker_of, new_axes, set_scale
from fastbp.plotting.training_curves import X_AXES, TrainingCurves

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LossCurveDisplay"]

_PANELS = ("loss", "validation", "gradient_norm")


class LossCurveDisplay:
    """The loss of one training or several, the validation score and the gradient norm below it.

    Make one with `from_estimator` or `from_estimators`; the constructor takes the bare curves.

    Parameters
    ----------
    curves : sequence of TrainingCurves
        The curves, of one training each.

    Attributes
    ----------
    axes_ : list of matplotlib Axes
        The panels from top to bottom. Given as ``ax`` to another display, that is drawn there too.
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure
        Their figure.
    lines_ : list of dict of str to matplotlib Line2D
        For each training its lines, by what they show: "loss", "validation", "gradient_norm".

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from fastbp import BackpropRegressor, LossCurveDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = BackpropRegressor(early_stopping=True, max_iter=500, random_state=0).fit(X, y / 100)
    >>> display = LossCurveDisplay.from_estimator(net, x="time")
    """

    def __init__(self, curves: Sequence[TrainingCurves]) -> None:
        self.curves = curves

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str = "", ax: Any = None, **options: Any
    ) -> "LossCurveDisplay":
        """Draw the training of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted `BackpropRegressor`, `BackpropClassifier` or another with ``loss_curve_``, also
            as the last step of a pipeline, in a ``TransformedTargetRegressor``, or as the best of a
            search.
        name : str, default=""
            What the legend calls it.
        ax : matplotlib Axes or list of them, default=None
            Where to draw, see `plot`.
        **options : dict
            Passed to `plot`.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If it keeps no loss curve, or not what is to be shown.
        ImportError
            If matplotlib is not installed.
        """
        return cls([TrainingCurves.of(estimator, name)]).plot(ax, **options)

    @classmethod
    def from_estimators(
        cls, estimators: Mapping[str, Any], *, ax: Any = None, **options: Any
    ) -> "LossCurveDisplay":
        """Draw the trainings of several fitted estimators in one picture.

        Parameters
        ----------
        estimators : dict of str to estimator
            The estimators, by the names that the legend gives them.
        ax : matplotlib Axes or list of them, default=None
            Where to draw, see `plot`.
        **options : dict
            Passed to `plot`.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.
        """
        if not isinstance(estimators, Mapping) or not estimators:
            raise ValueError(
                "estimators has to be a dict of one estimator or more by their names, such as "
                f"{{'lm': net}}; got {estimators!r:.60}."
            )
        curves = [TrainingCurves.of(each, str(name)) for name, each in estimators.items()]
        return cls(curves).plot(ax, **options)

    def plot(
        self,
        ax: Any = None,
        *,
        x: str = "epochs",
        show: Sequence[str] | None = None,
        log_scale: bool | None = None,
        **line_kwargs: Any,
    ) -> "LossCurveDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or list of them, default=None
            Where to draw: an Axes for each panel, such as ``pyplot.subplots(2)[1]``, or one for a
            single panel, which without ``show`` is the loss. None makes a new figure.
        x : {"epochs", "time", "evaluations"}, default="epochs"
            Over what: epochs (iterations of a batch solver), seconds, or evaluations of the loss
            over all rows, of which an epoch is one.
        show : sequence of {"loss", "validation", "gradient_norm"}, default=None
            The panels, from top to bottom. A validation score that is a loss, as of Prechelt's
            criteria, is drawn beside the training loss instead. None is the loss, and the
            validation score where there is one and an Axes for it.
        log_scale : bool, default=None
            Whether losses have a logarithmic axis; None where all are above 0, and the highest is
            three times the lowest or more.
        **line_kwargs : dict
            Passed to ``Axes.plot`` for the loss.

        Returns
        -------
        self : LossCurveDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If ax is no Axes.
        ValueError
            If x or show is unknown, there are not as many axes as panels, or the estimator has not
            kept what is to be shown.
        ImportError
            If matplotlib is not installed.
        """
        if x not in X_AXES:
            raise ValueError(f"x={x!r} is unknown. Take one of {list(X_AXES)}.")
        given = (
            None if ax is None else list(map(check_axes, np.ravel(np.asarray(ax, dtype=object))))
        )
        panels = self._panels(show, given)
        axes = new_axes(self, len(panels)) if given is None else given
        if len(axes) != len(panels):
            raise ValueError(
                f"ax holds {len(axes)} Axes, and the panels {panels} need one each. Give "
                f"ax=pyplot.subplots({len(panels)})[1], or choose panels by show=..."
            )
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        n_before = sum(line.get_gid() == _TRAINING for line in self.ax_.lines)
        self.lines_: list[dict[str, Any]] = [
            self._draw(curves, panels, x, marker_of(number), line_kwargs)
            for number, curves in enumerate(self.curves, start=n_before)
        ]
        self._label(panels, x, log_scale)
        return self

    def _panels(self, show: Sequence[str] | None, given: "list[Axes] | None") -> list[str]:
        has_score = any(curves.validation_score is not None for curves in self.curves)
        if show is None and not given:
            return list(_PANELS[: 1 + has_score])
        if show is None and given is not None:  # panels of another display say what they are
            return [ax.get_gid() or name for ax, name in zip(given, _PANELS, strict=False)]
        panels = [show] if isinstance(show, str) else list(show or ())
        unknown = [each for each in panels if each not in _PANELS]
        if unknown or not panels or len(set(panels)) < len(panels):
            raise ValueError(f"show={show!r}, but panels are some of {list(_PANELS)}, each once.")
        if "validation" in panels and not has_score:
            raise ValueError(
                "show has 'validation', but there is no validation score that is no loss. Fit with "
                "early_stopping=True; a validation loss is drawn beside the loss."
            )
        return panels

    def _draw(
        self,
        curves: TrainingCurves,
        panels: list[str],
        x: str,
        style: dict[str, Any],
        line_kwargs: dict[str, Any],
    ) -> dict[str, Any]:
        """Draw one training's curves, each in its panel."""
        positions, lines = curves.positions(x), {}
        name = curves.name or ("loss" if curves.validation_loss is None else "training loss")

        def draw(ax: "Axes", values: Any, **options: Any) -> Any:
            values = np.asarray(values, dtype=float)
            # Validation may have begun later, in a training that went on.
            return ax.plot(positions[len(positions) - len(values) :], values, **options)[0]

        for panel, ax in zip(panels, self.axes_, strict=True):
            options = style | {"label": name} | (line_kwargs if panel == "loss" else {})
            marked: Any = None
            if panel == "loss":
                lines["loss"] = draw(ax, curves.loss, **options)
                marked = curves.loss
                if curves.validation_loss is not None:
                    label = f"{curves.name}, validation" if curves.name else "validation loss"
                    dashed = options | {"label": label, "linestyle": DASH}
                    lines["validation"] = draw(ax, curves.validation_loss, **dashed)
                    marked = curves.validation_loss
            elif panel == "validation" and curves.validation_score is not None:
                lines["validation"] = draw(ax, curves.validation_score, **options)
                marked = curves.validation_score
            elif panel == "gradient_norm":
                lines["gradient_norm"] = draw(ax, _known_norms(curves), **options)
            if lines.get(panel) is not None:
                lines[panel].set_gid(_TRAINING)
            if marked is not None and curves.kept is not None:
                _mark_kept(ax, curves, positions, np.asarray(marked, dtype=float), options["color"])
        return lines

    def _label(self, panels: list[str], x: str, log_scale: bool | None) -> None:
        self._label_x(self.axes_[-1], x)
        for panel, ax in zip(panels, self.axes_, strict=True):
            values = np.concatenate([np.ravel(line.get_ydata()) for line in ax.lines])
            if panel == "loss":
                ax.set_ylabel("loss")
                set_scale(ax, values, log_scale)
            elif panel == "gradient_norm":
                ax.set_ylabel("gradient norm")
                set_scale(ax, values, None)
            else:
                scores = {c.score_name for c in self.curves if c.validation_score is not None}
                ax.set_ylabel(f"validation {scores.pop() if len(scores) == 1 else 'score'}")
            ax.set_gid(panel)
            ax.grid(alpha=0.25)
        self._add_legend()

    def _label_x(self, ax: "Axes", x: str) -> None:
        if x == "time":
            label_seconds(ax.xaxis, max(np.max(line.get_xdata()) for line in ax.lines))
        elif x == "evaluations":
            ax.set_xlabel("evaluations of the loss")
        else:
            names = {curves.iteration_name for curves in self.curves}
            ax.set_xlabel(names.pop() if len(names) == 1 else "iteration")

    def _add_legend(self) -> None:
        from matplotlib.lines import Line2D

        handles, labels = self.ax_.get_legend_handles_labels()
        if any(line.get_gid() == _KEPT for line in self.ax_.lines):  # of no training's colour
            handles.append(Line2D([], [], linestyle="", marker="*", markersize=11, color="0.5"))
            labels.append("weights kept")
        if len(labels) > 1 or any(curves.name for curves in self.curves):
            is_low = len(self.axes_) > 1 and len(labels) > 3
            self.ax_.legend(handles, labels, fontsize="small", ncols=2 if is_low else 1)


#: Group ids of lines, by which they are found again when more is drawn on the same axes.
_TRAINING, _KEPT = "training", "weights kept"


def _known_norms(curves: TrainingCurves) -> Any:
    norms = np.asarray([] if curves.gradient_norm is None else curves.gradient_norm, dtype=float)
    if np.isfinite(norms).sum() < min(2, len(np.asarray(curves.loss))):
        raise ValueError(
            f"show has 'gradient_norm', but {curves.name or 'the estimator'} has worked out none "
            "after each iteration. sgd and adam do with gtol=0."
        )
    return norms


def _mark_kept(ax: "Axes", curves: TrainingCurves, positions: Any, values: Any, color: Any) -> None:
    """Mark the iteration whose weights were kept."""
    assert curves.kept is not None
    at = curves.kept - 1
    # Of several, one line in the legend says what all the stars are.
    label = "" if curves.name else f"weights kept ({curves.iteration_name} {curves.kept})"
    ax.plot(
        positions[at], values[at - len(positions)], "*", markersize=14, color=color,
        markeredgecolor="white", zorder=4, label=label, gid=_KEPT if curves.name else None,
    )  # fmt: skip
