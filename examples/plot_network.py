"""
A network, drawn
================

`NetworkDisplay` draws the units and the weights of a fitted network: a line's width and strength of
colour say how large a weight is, its hue the sign, and negative weights are dashed.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropClassifier, NetworkDisplay

# %%
# Three hidden units tell the three kinds of iris apart. Inputs are standardised, so that the
# weights of a petal and a sepal can be compared.
iris = load_iris(as_frame=True)
names = iris.target_names[iris.target]
net = BackpropClassifier((3,), "tanh", solver="lbfgs", alpha=0.1, random_state=0, max_iter=1000)
model = make_pipeline(StandardScaler().set_output(transform="pandas"), net)
model.fit(iris.data, names)
print(f"{model.score(iris.data, names):.1%} right")

# %%
# Features and classes stand beside their units, since the network was given a table with names.
# What the picture says: petals decide. The unit in the middle keeps setosa from versicolor, the two
# others keep versicolor from virginica.
NetworkDisplay.from_estimator(model)
plt.show()
