"""Values of options, read from text; what argparse says of one that is wrong is a line."""

import argparse
import math

__all__ = ["batch_size", "count", "decay", "fraction", "seed"]


def fraction(text: str) -> float:
    """Read a number between 0 and 1."""
    if not 0 < float(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return float(text)


def decay(text: str) -> float | str:
    """Read a strength of weight decay."""
    if text == "bayes":
        return text
    if not 0 <= float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return float(text)


def count(text: str) -> int:
    """Read a whole number of 1 or more."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def seed(text: str) -> int:
    """Read what numpy's RandomState takes."""
    if not 0 <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 2^32 - 1")
    return int(text)


def batch_size(text: str) -> int | str:
    """Read a number of rows, or a name that stands for one."""
    return text if text in ("auto", "online", "full") else count(text)


# argparse names a type in "invalid ... value".
fraction.__name__ = decay.__name__ = "number"
count.__name__ = seed.__name__ = "whole number"
batch_size.__name__ = "batch size"
