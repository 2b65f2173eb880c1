"""How long a call's kernels run on the GPU: every launch is waited for, the times are added up."""

from contextlib import contextmanager
from statistics import median
from typing import Any

from bench.instruments.timing import seconds

__all__ = ["seconds_in_kernels"]


@contextmanager
def launches_timed():
    """Wait for every launch, and add up what they take."""
    from fastbp.machine import gpu

    plain, taken = gpu.launch, []

    def launch(*arguments: Any) -> None:
        gpu.synchronise()
        taken.append(seconds(lambda: (plain(*arguments), gpu.synchronise())))

    gpu.launch = launch
    try:
        yield taken
    finally:
        gpu.launch = plain


def seconds_in_kernels(run):
    """Seconds that launched kernels take of a call."""
    sums = []
    for _ in range(3):
        with launches_timed() as taken:
            run()
        sums.append(sum(taken))
    return median(sums)
