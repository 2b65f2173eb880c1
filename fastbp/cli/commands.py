"""The commands and their options. What a command needs is imported when it is called."""

import argparse
from pathlib import Path
from typing import Any, NoReturn

from fastbp import __version__
from fastbp.backends.device import DEVICES
from fastbp.cli.csv_file import STANDARD
from fastbp.cli.csv_table import TASKS
from fastbp.cli.option_types import batch_size, count, decay, fraction, seed
from fastbp.cli.terminal import say
from fastbp.model.activations import HIDDEN_ACTIVATIONS
from fastbp.model.losses import losses_where
from fastbp.solvers.registry import SOLVERS

__all__ = ["BAD_INPUT", "parser"]

BAD_INPUT = 2

#: What `export` writes.
FORMATS = ("onnx", "c", "numpy")

_FILE_HELP = "the CSV file; one that ends in .gz is unpacked, - is standard input"
_MODEL_HELP = (
    "a model saved by fit or fastbp.save; or by joblib, where the name ends in .joblib: loading "
    "such a file runs the code in it, so give only your own"
)


def _demo(_options: argparse.Namespace) -> None:
    from fastbp.cli.demo import demo

    demo()


def _info(_options: argparse.Namespace) -> None:
    from fastbp.cli.info import show_versions

    show_versions()


def _warmup(options: argparse.Namespace) -> None:
    from fastbp.cli.warmup import warmup

    warmup(options.names)


def _fit(options: argparse.Namespace) -> None:
    from fastbp.cli.fit_csv import fit_csv

    fit_csv(options)


def _predict(options: argparse.Namespace) -> None:
    from fastbp.cli.predict_csv import predict_csv

    predict_csv(options)


def _export(options: argparse.Namespace) -> None:
    from fastbp.cli.export_model import export_model

    export_model(options)


class _Parser(argparse.ArgumentParser):
    """One line an error, all in the same form."""

    def error(self, message: str) -> NoReturn:
        say(f"error: {message} ({self.prog} -h says more)")
        raise SystemExit(BAD_INPUT)


def parser() -> argparse.ArgumentParser:
    """Make the parser of all commands; options hold a function ``command`` that takes them."""
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
    _add_export(commands)
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
        "processes: for images, servers and batch jobs. With names, only those of its list.",
    )
    warmup.add_argument(
        "names", nargs="*", metavar="NAME", help='what to compile, such as "mini-batches predict"'
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
        "--plot",
        type=Path,
        metavar="FILE",
        help="where to draw the loss at each epoch (.png, .pdf, .svg; needs matplotlib)",
    )
    add(
        "--test-fraction",
        type=fraction,
        default=0.2,
        metavar="PART",
        help=f"rows held out {shown}",
    )
    add("--seed", type=seed, default=0, help=f"of the split, weights and shuffles {shown}")
    add(
        "--hidden",
        type=count,
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
        type=decay,
        default=0.1,
        help=f"weight decay; lbfgs may need more, lm with 'bayes' finds it {shown}",
    )
    losses = losses_where(lambda each: not each.is_for_classes)
    add("--loss", choices=losses, help="of a numeric target (default: squared_error)")
    add(
        "--n-init",
        type=count,
        default=1,
        metavar="N",
        help=f"random starts, of which the best is kept {shown}",
    )
    add("--max-iter", type=count, default=2000, metavar="N", help=f"epochs at most {shown}")
    add(
        "--batch-size",
        type=batch_size,
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


def _add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write a saved model as ONNX, C or NumPy source",
        description="Write a saved model as a file that needs no fastbp. Scaling is part of it: "
        "its inputs are the columns that the model was trained on, in that order.",
        epilog="Example: python -m fastbp export houses.fastbp --to c -o houses.c",
    )
    export.set_defaults(command=_export)
    add = export.add_argument
    add("model", type=Path, metavar="MODEL", help=_MODEL_HELP)
    add(
        "--to",
        required=True,
        choices=FORMATS,
        help="onnx needs the package onnx; with columns of text, which it alone has, skl2onnx too",
    )
    add(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="where to write, - is standard output (default: MODEL with another suffix)",
    )
