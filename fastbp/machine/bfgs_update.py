"""The vectors of a BFGS update in one compiled loop.

On the short vectors of a small network, an operation of NumPy is a call and little else; the twenty
that this loop stands for take ten times as long as it. ``solvers/bfgs.py`` has the method. The
matrix itself stays with the BLAS.
"""

from math import sqrt

from fastbp.machine.jit import kernel

__all__ = ["bfgs_update"]

_EPS = 2.0**-52


@kernel
def bfgs_update(d, q, last, gradient, step, scales, v, direction):
    """Find v of the update H + s v' + v s' of H / tau, and the next direction.

    d : the direction, -H last.  q : H gradient.  last, gradient : before and after the step
    s = step * d.  scales : whether tau may be less than 1.
    v, direction : are written to. All vectors are float64, (n_parameters,).
    Returns tau; 0 where there is no curvature along d: then nothing is written.
    """
    dd = dy = yy = qy = qg = slope_before = slope = 0.0
    for i in range(d.size):
        y = gradient[i] - last[i]
        dd += d[i] * d[i]
        dy += d[i] * y
        yy += y * y
        qy += q[i] * y
        qg += q[i] * gradient[i]
        slope_before += d[i] * last[i]
        slope += d[i] * gradient[i]
    tau = min(1.0, dy / (-step * slope_before)) if scales else 1.0
    if not (dy > _EPS * sqrt(dd) * sqrt(yy) and tau > 0.0):
        return 0.0
    # s, Hy = (q + d) / tau and with them v are made of d and q: v = a d - b q.
    b = 1.0 / (tau * step * dy)
    a = 0.5 * (1.0 + b * (qy + dy)) / dy - b
    along_q = step * slope * b - 1.0 / tau
    along_d = step * (b * qg - 2.0 * a * slope)
    for i in range(d.size):
        v[i] = a * d[i] - b * q[i]
        direction[i] = along_q * q[i] + along_d * d[i]
    return tau
