"""A picture: how near each case comes to what the core can do.

``python bench/run.py roofline out.png`` draws it.

The roof is the lower of two lines: the peak of multiply-adds, and bytes moved times the bandwidth
of the place the weights fit into. A case's place on the x axis is how many operations it makes for
a byte of weights that it moves: online a weight is loaded and stored for four operations, in batch
mode for as many times more as the batch has rows.
"""

import numpy as np
from threadpoolctl import threadpool_limits

from bench.cases import DTYPES, Case, n_weights, training_flops
from bench.instruments import limits, machine
from bench.instruments.options import parser
from bench.instruments.timing import time_epochs
from bench.tables.report import BATCH, FULL, ONLINE


def measured(case, dtype):
    """Operations for a byte of weights moved, and operations a second."""
    seconds = time_epochs(case, dtype, ("fastbp",))["fastbp"]
    size = np.dtype(dtype).itemsize
    bytes_a_row = 2 * size * n_weights(case.sizes) / case.batch_size
    return training_flops(case.sizes) / bytes_a_row, training_flops(case.sizes) / seconds


def cases():
    for sizes in ONLINE:
        yield "online", Case("online", sizes, "tanh", 1, 1_000, 0.0)
    for sizes, batch_size in BATCH:
        yield f"batch of {batch_size}", Case("batch", sizes, "relu", batch_size, 5_120, 0.0)
    for sizes in FULL:
        yield "full batch", Case("full", sizes, "relu", 4_096, 4_096, 0.0)


def draw(path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, all_axes = plt.subplots(1, 2, figsize=(12, 5.5), sharey=True, layout="constrained")
    for axes, dtype in zip(all_axes, DTYPES, strict=True):
        x = np.geomspace(0.1, 2e3, 200)
        peak = limits.peak(dtype)
        size = np.dtype(dtype).itemsize
        for n, place in ((2_000, "first-level cache"), (100_000, "second-level cache")):
            bandwidth = 2 * size * n / limits.stream(n, dtype)
            roof = np.minimum(peak, x * bandwidth)
            axes.plot(x, roof / 1e9, color="0.4", linewidth=1)
            i = np.argmax(roof >= peak) // 2
            axes.annotate(
                place, (x[i], roof[i] / 1e9), rotation=38, fontsize=8, color="0.3", va="top"
            )
        axes.axhline(limits.blas(dtype) / 1e9, color="tab:green", linestyle=":", linewidth=1)
        axes.annotate(
            "BLAS, 768 x 768", (0.12, limits.blas(dtype) / 1.09e9), color="tab:green", va="top"
        )
        for number, (name, case) in enumerate(cases()):
            intensity, rate = measured(case, dtype)
            color = {"online": "tab:red", "full batch": "tab:blue"}.get(name, "tab:orange")
            axes.plot(intensity, rate / 1e9, "o", color=color)
            axes.annotate(
                f"{case.net_name} {name}", (intensity, rate / 1e9), fontsize=7,
                xytext=(4, -9 if number % 2 else 5), textcoords="offset points",
            )  # fmt: skip
        axes.set(
            xscale="log",
            yscale="log",
            xlim=(0.08, 4e4),
            xlabel="operations for a byte of weights moved",
        )
        axes.set_title(f"{np.dtype(dtype).name}: peak {peak / 1e9:.0f} GFLOP/s")
        axes.grid(alpha=0.3)
    all_axes[0].set_ylabel("GFLOP/s, one thread")
    figure.suptitle(machine.line(), fontsize=8)
    figure.savefig(path, dpi=130)


def main(arguments):
    options = parser("roofline", __doc__)
    options.add_argument("path", nargs="?", default="roofline.png")
    path = options.parse_args(arguments).path
    with threadpool_limits(1):
        draw(path)
