"""
A network inside a compiled simulation
======================================

`to_njit` makes a fitted network a function of one sample for ``@njit`` code of your own. Here it is
the right-hand side of a differential equation: a pendulum that the network has only been shown.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit
from scipy.integrate import solve_ivp

from fastbp import BackpropRegressor, to_njit


# %%
# The true pendulum, with friction: x = (angle, angular velocity). The network sees 400 states and,
# with some noise, how fast the velocity changes there.
def pendulum(t, x):
    """Give dx/dt."""
    return [x[1], -np.sin(x[0]) - 0.15 * x[1]]


rng = np.random.default_rng(0)
states = rng.uniform([-3.0, -2.5], [3.0, 2.5], (400, 2))
accelerations = pendulum(0, states.T)[1] + 0.02 * rng.standard_normal(400)
net = BackpropRegressor("squared_error", (12,), "tanh", solver="lm", alpha="bayes", random_state=0)
net.fit(states, accelerations)
print(
    f"R^2 {net.score(states, accelerations):.4f}, {net.effective_parameters_:.0f} parameters used"
)

# %%
# Euler's rule with small steps, compiled, with the network compiled into it: no Python between
# them.
acceleration = to_njit(net)


@njit
def simulate(angle, velocity, step, n_steps):
    """Give the state before each step, and the last: (n_steps + 1, 2)."""
    course = np.empty((n_steps + 1, 2))
    for i in range(n_steps + 1):
        course[i, 0], course[i, 1] = angle, velocity
        velocity += step * acceleration((angle, velocity))
        angle += step * velocity
    return course


start = (2.8, 0.0)
simulate(*start, 0.001, 1)  # compiled here
began = time.perf_counter()
learnt = simulate(*start, 0.001, 30_000)
seconds = time.perf_counter() - began
print(f"30,000 steps in {1e3 * seconds:.1f} ms, {1e6 * seconds / 30_000:.2f} microseconds each")
times = np.linspace(0, 30, 30_001)
true = solve_ivp(pendulum, (0, 30), start, t_eval=times, rtol=1e-9).y.T

figure, (left, right) = plt.subplots(ncols=2, figsize=(10, 4), layout="constrained")
left.plot(times, true[:, 0], color="0.6", linewidth=4, label="pendulum")
left.plot(times, learnt[:, 0], "--", color="#0072B2", label="network")
left.set(xlabel="time", ylabel="angle")
left.legend()
right.plot(*states.T, ".", color="0.8", markersize=3, label="shown to the network")
right.plot(*learnt.T, color="#0072B2", label="course of the network")
right.set(xlabel="angle", ylabel="angular velocity")
right.legend(loc="upper right", fontsize="small")
plt.show()
