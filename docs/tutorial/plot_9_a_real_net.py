r"""
9. A real net, and the answer
=============================

All of it together, on people whom the net has not seen. And an experiment: what if the derivative
of the activation is left out of the update?
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from fastbp import BackpropRegressor, ErrorSurfaceDisplay, Network, loss_and_gradient

X, y = load_diabetes(return_X_y=True)
X, X_new, y, y_new = train_test_split(scale(X), scale(y), test_size=0.3, random_state=0)

# %%
# Eight hidden neurons, 97 weights, 309 people to learn from, 133 set aside. A net with so many
# weights can learn its examples by heart. To keep it from that, `alpha` adds
# :math:`\frac{\alpha}{2n} \sum w^2` to the error, the sum over all weights but the biases, so that
# large weights cost something (*weight decay*):
nets = {}
for alpha in (0.0, 30.0):
    net = BackpropRegressor("squared_error", (8,), "tanh", solver="cg", alpha=alpha, gtol=1e-3)
    nets[alpha] = net.set_params(random_state=0, max_iter=5000, record_path=True).fit(X, y)
    for name, rows, targets in (("known", X, y), ("new", X_new, y_new)):
        error = np.mean((nets[alpha].predict(rows) - targets) ** 2 / 2)
        print(f"alpha {alpha:.0f}, {name} people: E = {error:.3f}")

# %%
# The lowest error on the examples is not the aim; a low one on others is. So we take the net with
# an `alpha` of 30. Is its gradient right (the weights are moved a little, as on :doc:`page 3
# <plot_3_chain_rule>`), and what is the point at which the training has ended? The library tells:
net = nets[30.0]
print(f"largest difference, in parts of the gradient: {net.check_gradient(X, y):.1e}")
print(net.stationary_point(X, y))

# %%
# The error surface over 97 weights cannot be drawn. But the walk has been recorded, and most of it
# lies near a plane through that space. Over this plane the error is a landscape again (left; the
# walk is projected on it; on the axes, how much of the walk's spread lies in each direction).
#
# Did it go the right way? On the right is, at each point of the walk, the angle between the step
# and minus the gradient. Below 90 degrees the derivative says that the error falls. The angle is 0
# where conjugate gradients begin, or begin anew, with steepest descent; between, along the floor of
# a valley, it is large, since the gradient mostly points across. And with every step the error
# falls; to show it, the last error is subtracted from the others.
network = Network((10, 8, 1), "tanh")
points = [loss_and_gradient(network, p, X, y, alpha=net.alpha) for p in net.path_]
errors = np.array([error for error, _ in points])
downhill = -np.array([gradient for _, gradient in points])[:-1]
steps = np.diff(net.path_, axis=0)
cosine = (steps * downhill).sum(axis=1)
cosine /= np.linalg.norm(steps, axis=1) * np.linalg.norm(downhill, axis=1)
angle = np.degrees(np.arccos(np.minimum(cosine, 1.0)))
assert (angle < 90).all() and (np.diff(errors) < 0).all()

figure = plt.figure(figsize=(10, 4.4), layout="constrained")
ErrorSurfaceDisplay.from_estimator(
    net, X, y, kind="surface", ax=figure.add_subplot(1, 2, 1, projection="3d")
)
upper, lower = figure.add_subplot(2, 2, 2), figure.add_subplot(2, 2, 4)
upper.plot(angle, "k.-", markersize=3, linewidth=0.8)
upper.set(ylabel="angle (degrees)", ylim=(-5, 95), yticks=(0, 30, 60, 90))
upper.axhline(90, color="0.5", linestyle="--", linewidth=0.8)
lower.semilogy(errors[:-1] - errors[-1], ".-", color="#0072B2", markersize=3)
lower.set(xlabel="step", ylabel="E minus the last E")

# %%
# **The experiment.** The lines of :doc:`page 6 <plot_6_backwards>` for a net with one hidden layer,
# written so that the slope can be left out. Batch, 4000 steps, the same start, no weight decay:


def train(with_slope):
    """Return the error at each step."""
    (W1, W2), (b1, b2) = Network((10, 8, 1), "tanh").unpack(net.path_[0].copy())
    n, errors = len(X), []
    for _step in range(4000):
        a1 = np.tanh(X @ W1 + b1)
        delta2 = a1 @ W2 + b2 - y[:, np.newaxis]
        delta1 = delta2 @ W2.T
        if with_slope:
            delta1 *= 1 - a1**2
        for weights, gradient in (
            (W1, X.T @ delta1 / n),
            (b1, delta1.mean(axis=0)),
            (W2, a1.T @ delta2 / n),
            (b2, delta2.mean(axis=0)),
        ):
            weights -= 0.1 * gradient
        errors.append(np.mean(delta2**2 / 2))
    return errors


figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ax.plot(train(with_slope=True), color="#0072B2", label="with f'(z)")
ax.plot(train(with_slope=False), "--", color="#D55E00", label="without f'(z)")
ax.set(xlabel="step", ylabel="error E", ylim=(0.1, 0.4))
ax.legend()

# %%
# At first both go down, since the slope is positive and not far from 1, so that without it the
# direction is not all wrong. Then the net without it climbs, and nothing in its updates says so.
#
# **Why does the derivative of the activation stand in the update?** Because a weight acts on the
# error only through the net input of its neuron, and the net input only through the activation. If
# the net input changes by a little, the output changes by :math:`f'(z)` times as much. By the chain
# rule that factor belongs to the derivative of the error, for every neuron on the way from the
# weight to the output. With it, each step goes against the gradient, and the error falls if the
# step is small enough. Without it the steps follow the derivative of nothing, and nobody promises
# that.
#
# And the rest, in a few sentences. Weights start at random and move against the gradient of the
# error. A large derivative makes a large step, which is right far from a minimum. Online is a step
# after each example, batch a step after all. The error is worked out at the output and carried back
# through the layers, and the name says so. Where the slope is 0 is a minimum, local or global, or a
# saddle (or a maximum, but no way down leads there). Conjugate gradients are at a minimum sooner
# than steepest descent, since a step does not spoil what the one before has won. And while the
# error falls, following the derivative is going the right way.
#
# - `Rumelhart, Hinton & Williams <https://doi.org/10.1038/323533a0>`__, "Learning representations
#   by back-propagating errors", *Nature* 323, 533-536 (1986).
# - Hertz, Krogh & Palmer, *Introduction to the Theory of Neural Computation*, Addison-Wesley
#   (1991): chapter 5 is about one layer, chapter 6 about back-propagation.
plt.show()
