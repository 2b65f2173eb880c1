"""Softmax over the outputs of each row, and its logarithm; ``cpu/softmax.py`` has the formulas."""

from fastbp.machine.elementary import exp, log, where
from fastbp.machine.elementary_gpu import lane, number
from fastbp.machine.gpu_kernels import cuda, load1, part, store1

__all__ = ["softmax"]


@part
def softmax(z, s, n_outputs, stride):
    """Z <- p and s <- log p for rows that lie side by side, a row's outputs a stride apart.

    A thread has a whole row, which others have written: a barrier has to stand before it. There are
    as many rows as the stride is long, what pads a tile among them.
    """
    row = cuda.threadIdx.x
    while row < stride:
        end = row + n_outputs * stride
        top = lane(load1(z, row))
        place = row + stride
        while place < end:
            net = lane(load1(z, place))
            top = where(top < net, net, top)
            place += stride
        total = lane(z.dtype.type(0))
        place = row
        while place < end:
            below_top = lane(load1(z, place)) - top
            e = exp(below_top)
            store1(s, place, number(below_top))
            store1(z, place, number(e))
            total = total + e
            place += stride
        log_total = log(total)
        place = row
        while place < end:
            store1(s, place, number(lane(load1(s, place)) - log_total))
            store1(z, place, number(lane(load1(z, place)) / total))
            place += stride
        row += cuda.blockDim.x
