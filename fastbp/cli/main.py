"""The command line: ``python -m fastbp``, without a command a demonstration.

``fit`` makes a model from a CSV file and ``predict`` uses it, ``info`` describes the installation
and the machine, and ``warmup`` compiles every kernel. Nothing here imports the compiler before it
is needed.
"""

import argparse
import math
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from fastbp import __version__
from fastbp.backends.device import DEVICES
from fastbp.cli.csv_file import STANDARD
from fastbp.cli.csv_table import TASKS
from fastbp.cli.terminal import InputError, say
from fastbp.model.activations import HIDDEN_ACTIVATIONS
from fastbp.solvers.registry import SOLVERS

__all__ = ["main", "run"]

BAD_INPUT, INTERRUPTED = 2, 130


_FILE_HELP = "the CSV file; one that ends in .gz is unpacked, - is standard input"
_MODEL_HELP = (
    "a model saved by fit or fastbp.save; or by joblib, where the name ends in .joblib: loading "
    "such a file runs the code in it, so give only your own"
)


class Interrupted(BaseException):
    """Ctrl-C, under a name that estimators do not catch, as they do KeyboardInterrupt."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, default=None
        What follows ``python -m fastbp``; None takes it from ``sys.argv``.

    Returns
    -------
    code : int
        The process's exit code: 0, 2 after bad input, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except InputError as error:
        say(f"error: {error}")
        return BAD_INPUT
    except (KeyboardInterrupt, Interrupted):
        say("interrupted")
        return INTERRUPTED
    return 0


def _demo(_options: argparse.Namespace) -> None:
    from fastbp.cli.demo import demo

    demo()


def _info(_options: argparse.Namespace) -> None:
    from fastbp.cli.info import info

    info()


def _warmup(_options: argparse.Namespace) -> None:
    from fastbp.cli.info import warmup

    warmup()


def _fit(options: argparse.Namespace) -> None:
    from fastbp.cli.fit_csv import fit_csv

    fit_csv(options)


def _predict(options: argparse.Namespace) -> None:
    from fastbp.cli.predict_csv import predict_csv

    predict_csv(options)


class _Parser(argparse.ArgumentParser):
    """One line an error, all in the same form."""

    def error(self, message: str) -> NoReturn:
        say(f"error: {message} ({self.prog} -h says more)")
        raise SystemExit(BAD_INPUT)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m fastbp",
        description="Small and medium neural networks on a CPU. Without a command: compares "
        "online, mini-batch and full-batch training on real data, and with scikit-learn's speed.",
    )
    parser.add_argument("--version", action="version", version=f"fastbp {__version__}")
    parser.set_defaults(command=_demo)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_fit(commands)
    _add_predict(commands)
    info = commands.add_parser(
        "info",
        help="versions, processor, and where compiled code is kept",
        description="Print versions, what the processor offers, and where compiled code is kept.",
    )
    info.set_defaults(command=_info)
    warmup = commands.add_parser(
        "warmup",
        help="compile everything now, so that no later fit has to",
        description="Compile every kernel for float64 and float32 and keep the code for later "
        "processes: for images, servers and batch jobs.",
    )
    warmup.set_defaults(command=_warmup)
    return parser


def _add_fit(commands: Any) -> None:
    solvers = sorted(SOLVERS)
    fit = commands.add_parser(
        "fit",
        help="train a network on a CSV file, test it, save it",
        description="Train a network on a CSV file, report its error on held-out rows, save it. "
        "The file has a line of column names and then rows, separated by commas, semicolons or "
        "tabs. Each label of a column of text becomes an input of 0 and 1, missing numbers become "
        "the column's mean; of a target that is text the classes are learnt. A first column "
        "without a name labels the rows and is left out. Inputs and numeric targets are scaled; "
        "every solver but lbfgs stops when validation rows, a tenth of the training rows, are no "
        "longer predicted better.",
        epilog="Example: python -m fastbp fit houses.csv --target price --save houses.fastbp",
    )
    fit.set_defaults(command=_fit)
    add = fit.add_argument
    add("file", type=Path, help=_FILE_HELP)
    add("--target", required=True, metavar="COLUMN", help="the column to predict")
    add(
        "--task",
        choices=TASKS,
        default="auto",
        help="whether the target is a number or a label; auto takes text and few whole numbers for "
        "labels (default: auto)",
    )
    add("--drop", nargs="+", default=[], metavar="COLUMN", help="columns to leave out")
    add(
        "--save",
        type=Path,
        metavar="FILE",
        help="where to keep the model, for predict, export and "
        "fastbp.load; for joblib.load where the name ends in .joblib",
    )
    shown = "(default: %(default)s)"
    add(
        "--test-fraction",
        type=_fraction,
        default=0.2,
        metavar="PART",
        help=f"rows held out {shown}",
    )
    add("--seed", type=_seed, default=0, help=f"of the split, weights and shuffles {shown}")
    add(
        "--hidden",
        type=_count,
        nargs="+",
        default=[50],
        metavar="UNITS",
        help="units of each hidden layer (default: 50)",
    )
    add(
        "--activation",
        choices=HIDDEN_ACTIVATIONS,
        default="tanh",
        help=f"one of {{%(choices)s}} {shown}",
        metavar="NAME",
    )
    add("--solver", choices=solvers, default="adam", help=shown)
    add(
        "--alpha",
        type=_decay,
        default=0.1,
        help=f"weight decay; lbfgs may need more, lm with 'bayes' finds it {shown}",
    )
    add("--max-iter", type=_count, default=2000, metavar="N", help=f"epochs at most {shown}")
    add(
        "--batch-size",
        type=_batch_size,
        default=32,
        metavar="N",
        help=f"rows a step, or auto, online, full {shown}",
    )
    add("--device", choices=DEVICES, default="cpu", help=shown)


def _add_predict(commands: Any) -> None:
    predict = commands.add_parser(
        "predict",
        help="predict the rows of a CSV file with a saved model",
        description="Predict the rows of a CSV file with a saved model, and write a CSV file of as "
        "many rows. Columns are found by their names, in any order; others are ignored.",
        epilog="Example: python -m fastbp predict houses.fastbp new.csv -o prices.csv",
    )
    predict.set_defaults(command=_predict)
    add = predict.add_argument
    add("model", type=Path, metavar="MODEL", help=_MODEL_HELP)
    add("file", type=Path, metavar="NEW.csv", help=_FILE_HELP)
    add(
        "-o",
        "--output",
        type=Path,
        default=STANDARD,
        metavar="OUT.csv",
        help="where to write; - is standard output (default: -)",
    )
    add("--proba", action="store_true", help="probabilities, a column for each class")


def _fraction(text: str) -> float:
    if not 0 < float(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return float(text)


def _decay(text: str) -> float | str:
    if text == "bayes":
        return text
    if not 0 <= float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return float(text)


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def _seed(text: str) -> int:
    if not 0 <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 2^32 - 1")
    return int(text)


def _batch_size(text: str) -> int | str:
    return text if text in ("auto", "online", "full") else _count(text)


# argparse names a type in "invalid ... value".
_fraction.__name__ = _decay.__name__ = "number"
_count.__name__ = _seed.__name__ = "whole number"
_batch_size.__name__ = "batch size"


def run() -> int:
    """Run as a process: Ctrl-C and a closed pipe end it quietly, warnings are a line each."""

    def interrupt(_signal: int, _frame: object) -> NoReturn:
        raise Interrupted

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    warnings.showwarning = lambda message, *_: say(f"warning: {message}")
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at exit; there is nobody to read it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    return code
