"""
Counts: a photograph in the dark
================================

Counts are not normal: they are 0 or more, and the larger their mean, the wider they scatter. The
Poisson loss, with its log link, knows. Here a network learns a photograph from a few photons.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from fastbp import BackpropRegressor

# %%
# The green channel of a flower, made smaller. In the dark a pixel receives three photons in the
# mean, 0 in its darkest parts, and their number is a draw from a Poisson distribution.
photograph = load_sample_image("flower.jpg")[20:420:6, 80:620:6, 1] / 255.0
rate = 3.0 * photograph / photograph.mean()
photons = np.random.default_rng(0).poisson(rate)
print(f"{photons.size} pixels, {(photons == 0).mean():.0%} of them without a photon")

# %%
# Inputs are the two coordinates of a pixel, the target is its count. The network never sees the
# photograph; it is smooth, and so it finds what the counts have in common.
height, width = rate.shape
grid = np.mgrid[-1 : 1 : height * 1j, -1.35 : 1.35 : width * 1j].reshape(2, -1).T
common = {"hidden_layer_sizes": (30, 30), "activation": "sin", "random_state": 0}
common |= {"learning_rate_init": 0.005, "max_iter": 500, "tol": 1e-3}
net = BackpropRegressor(loss="poisson", **common)
net.fit(grid, photons.ravel())
learnt = net.predict(grid).reshape(rate.shape)

# %%
# The squared error knows neither that counts scatter more where it is bright nor that they are
# never negative.
plain = BackpropRegressor(**common).fit(grid, photons.ravel()).predict(grid).reshape(rate.shape)
print(f"least: {rate.min():.2f}, squared error {plain.min():.2f}, Poisson {learnt.min():.2f}")


def deviance(prediction):
    """Give the mean Poisson deviance from the true rate."""
    prediction = np.maximum(prediction, 1e-3)
    ratio = np.log(np.maximum(rate, 1e-12) / prediction)
    return 2 * np.mean(rate * ratio - rate + prediction)


figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
pictures = {
    "the photograph (not shown to the network)": rate,
    "photons counted": photons,
    f"squared error: deviance {deviance(plain):.3f}": plain,
    f"Poisson loss: deviance {deviance(learnt):.3f}": learnt,
}
for ax, (title, picture) in zip(axes.flat, pictures.items(), strict=True):
    image = ax.imshow(picture, cmap="inferno", vmin=0, vmax=rate.max())
    ax.set_title(title, fontsize="medium")
    ax.set_axis_off()
figure.colorbar(image, ax=axes, label="photons a pixel", shrink=0.6)
plt.show()
