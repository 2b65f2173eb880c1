"""``python -m fastbp warmup``: compiling ahead what later fits would compile."""

from collections.abc import Sequence

import fastbp
from fastbp.cli.info import describe_cache
from fastbp.cli.terminal import errors_in_a_line, timed
from fastbp.precompilation.warmup import names_of

__all__ = ["warmup"]


def warmup(names: Sequence[str] = ()) -> None:
    """Compile kernels for float64 and float32, keep the code, and say how long each took.

    Parameters
    ----------
    names : sequence of str, default=()
        Which; all if there are none.
    """
    with errors_in_a_line():
        chosen = names_of(names or None)
    for name in chosen:
        with timed(f"{name:13}"):
            fastbp.warmup([name])
    print(f"Compiled code: {describe_cache()}")
