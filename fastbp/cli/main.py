"""The command line: ``python -m fastbp``, without a command a demonstration.

``fit`` makes a model from a CSV file, ``predict`` uses it, ``export`` writes it as ONNX, C or NumPy
source, ``info`` describes the installation and the machine, and ``warmup`` compiles every kernel.
Nothing here imports the compiler before it is needed.
"""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from fastbp.cli.commands import BAD_INPUT, parser
from fastbp.cli.terminal import InputError, say

__all__ = ["main", "run"]

INTERRUPTED = 130


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
    options = parser().parse_args(arguments)
    try:
        options.command(options)
    except InputError as error:
        say(f"error: {error}")
        return BAD_INPUT
    except (KeyboardInterrupt, Interrupted):
        say("interrupted")
        return INTERRUPTED
    return 0


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
    except OSError as error:  # of standard output; other files' are InputErrors
        if not isinstance(error, BrokenPipeError):
            say(f"error: cannot write standard output: {error.strerror or error}")
        # Python flushes once more at exit; there is nobody to read it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    return code
