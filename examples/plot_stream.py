"""
A stream that changes
=====================

`learn_one` makes one online step for one sample, in some microseconds, so a network can follow a
stream for as long as it lasts. When the world changes, it unlearns what was true.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastbp import BackpropClassifier

# %%
# Digits arrive one after the other; after 3000 of them somebody mounts the camera on its side.
images, labels = load_digits(return_X_y=True)
images = images.reshape(-1, 8, 8) / 16.0
turned_at, n_samples = 3000, 6000
order = np.random.default_rng(0).integers(len(images), size=n_samples)
stream = [
    (np.rot90(images[i]) if step >= turned_at else images[i]).ravel()
    for step, i in enumerate(order)
]
targets = labels[order]


# %%
# Each digit is first predicted, which counts, and then learnt. A network that learns nothing more
# from sample 2000 on is there to be compared with.
def correct_answers(learns_until):
    """Go through the stream; whether each prediction was right, (n_samples,)."""
    net = BackpropClassifier((50,), "relu", solver="sgd", learning_rate_init=0.05, random_state=0)
    net.set_params(momentum=0.0, alpha=0.0)
    net.partial_fit(stream[:1], targets[:1], classes=np.arange(10))
    right = np.zeros(n_samples, dtype=bool)
    for step, (x, label) in enumerate(zip(stream, targets, strict=True)):
        right[step] = net.predict_proba_one(x).argmax() == label
        if step < learns_until:
            net.learn_one(x, label)
    return right


answers = {
    "learns all the time": correct_answers(n_samples),
    "learns until 2000": correct_answers(2000),
}

# %%
# The share of right answers among the last 200. Both fall when the camera is turned. The one
# that goes on learning reads turned digits after some hundred of them; the other never will.
figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
for (name, right), line in zip(answers.items(), "-:", strict=True):
    rolling = np.convolve(right, np.ones(200) / 200, mode="valid")
    ax.plot(np.arange(199, n_samples), rolling, line, label=name)
    print(f"{name}: {right[-1000:].mean():.1%} of the last 1000 right")
ax.axvline(turned_at, color="0.6", linewidth=1)
ax.annotate("the camera is turned", (turned_at, 0.05), (5, 0), textcoords="offset points")
ax.set(xlabel="samples seen", ylabel="right among the last 200", ylim=(0, 1))
ax.legend(loc="lower left")
plt.show()
