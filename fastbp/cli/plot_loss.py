"""The loss at each epoch of a training, as a picture in a file."""

from pathlib import Path
from typing import Any

from fastbp.cli.model_files import write_file
from fastbp.cli.terminal import InputError
from fastbp.plotting.loss_curve import LossCurveDisplay

__all__ = ["check_can_plot", "plot_loss"]


def check_can_plot(path: Path) -> None:
    """Find out before the training whether matplotlib is there and knows the kind of file."""
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError as error:
        raise InputError(
            "--plot draws with matplotlib, which is not installed: pip install 'fastbp[plot]'"
        ) from error
    kinds = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:] not in kinds:
        raise InputError(
            f"--plot {path} has to end in one of {', '.join(f'.{kind}' for kind in sorted(kinds))}"
        )


def plot_loss(net: Any, path: Path) -> None:
    """Draw the loss, and the validation score below it, of a fitted network."""
    figure: Any = LossCurveDisplay.from_estimator(net).figure_
    write_file(path, lambda beside: figure.savefig(beside, format=path.suffix[1:]))
