"""
The error surface, and two ways down it
=======================================

The error is a function of the weights. Backpropagation gives its gradient, and every solver moves
the weights downhill by it; how differently they do shows on the surface itself.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from fastbp import BackpropRegressor, ErrorSurfaceDisplay

X, y = load_diabetes(return_X_y=True, as_frame=True)
y = scale(y)

# %%
# A linear neuron with two inputs has two weights and a bias. The bias of scaled data is next to
# zero, so the surface over the two weights is all there is to see. The inputs, two kinds of
# cholesterol, go together: the surface is a long valley.
two = scale(X[["s1", "s2"]])
common = {"hidden_layer_sizes": (), "random_state": 8, "alpha": 0.0, "record_path": True}
nets = {
    "online: sgd, a step after each row": BackpropRegressor(
        solver="sgd", batch_size="online", learning_rate_init=0.02, momentum=0.0, tol=1e-3, **common
    ),
    "batch: cg, a step after all rows": BackpropRegressor(solver="cg", **common),
}

# %%
# The arrows are minus the gradient; the dots are the ends of online passes, and of cg's iterations.
# Online, one pass of 442 small steps leads to the bottom, but each step obeys a single row, so the
# weights dance there and never rest. Conjugate gradients go down the slope, turn along the valley's
# floor, and stop at the lowest point.
figure, axes = plt.subplots(ncols=2, figsize=(10, 4.6), layout="constrained")
for ax, (title, net) in zip(axes, nets.items(), strict=True):
    net.fit(two, y)
    ErrorSurfaceDisplay.from_estimator(
        net, two, y, plane=((0, 0, 0), (0, 1, 0)), limits=((-1.5, 1.5), (-1.5, 1.5)), ax=ax
    )
    ax.set_title(f"{title}\n{net.n_fun_} passes over the data", pad=45, fontsize="medium")
    print(f"{title}: loss {net.loss_:.4f} after {net.n_fun_} passes, {net.stop_reason_}")

# %%
# A network with hidden units has more weights than a picture has axes. The plane that the path
# stays nearest to shows most of it: here Levenberg-Marquardt trains five hidden units.
net = BackpropRegressor(
    "squared_error",
    (5,),
    "tanh",
    solver="lm",
    alpha=1.0,
    random_state=0,
    record_path=True,
    tol=1e-3,
)
net.fit(scale(X), y)
ErrorSurfaceDisplay.from_estimator(net, scale(X), y, kind="surface")
plt.show()
