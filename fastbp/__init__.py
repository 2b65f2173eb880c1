"""fastbp: small and medium neural networks, trained by compiled backpropagation.

The map of the house, from the face down; imports go down only:

``__main__.py``
    The command line, with ``demo.py``, ``fit_csv.py`` and ``progress.py``; ``plotting.py`` draws
    a training.
``regressor.py``
    `BackpropRegressor`, the scikit-learn estimator: parameters, fitted attributes. With
    ``validation.py`` (what a user may give), ``held_out.py`` (rows to validate on), ``jobs.py``
    (from parameters and data to what solvers take), ``training.py`` (one start or several),
    ``one_sample.py`` (`predict_one`, `learn_one`) and ``inspection.py`` (`check_gradient`,
    `stationary_point`).
``many.py``, ``search.py``
    `fit_many` and `BackpropSearchCV`: many networks at once, on the GPU by ``side_by_side.py``.
``solvers/``
    How parameters move, one algorithm a file: ``stochastic.py`` goes through the rows in batches,
    the batch solvers stand on ``descent.py``; ``stopping.py`` is when to stop and why.
``objective.py``
    What solvers minimise: a network bound to data. ``epochs.py`` goes through its rows in batches,
    ``least_squares.py`` has its normal equations, ``prediction.py`` the forward pass alone.
    ``gradient_check.py`` holds its gradient against central differences, ``stationary.py`` tells a
    minimum from a saddle. ``single.py`` is the same for one sample at a time.
``kernels/``
    Backpropagation itself, compiled.
``cuda/``
    The same for a GPU, imported only when it was asked for (``device.py``). Above it
    ``device_table.py`` and ``fleet.py`` have data, parameters and launches, ``orders.py`` draws
    the orders of rows ahead, ``device_objective.py`` is the objective that solvers see.
``network.py``, ``activations.py``, ``losses.py``, ``update_rules.py``, ``data.py``,
``shuffles.py``, ``legs.py``
    What a net is, in plain Python: no compiler needed.
``machine/``
    What the chip and the compiler offer; knows no neural network.

One fit on its way down: `BackpropRegressor.fit`, ``training.train``, ``stochastic.minimise``,
`HostWalk.epochs`, `Objective.epochs`, and in ``kernels/`` ``batch.batch_epochs``
(``epochs.epochs_of`` round ``batch._sweep``), ``passes.add_block``, then
``machine/matmul.product``. On a GPU `DeviceWalk.epochs`, `Fleet.epochs`, and in ``cuda/``
``batch.batch_epochs``, ``tiles.add_tile``, ``products.product``. A batch solver's way parts from it
after ``training.train``: the registry `BATCH_SOLVERS`, ``levenberg_marquardt.minimise`` for one,
``descent.descend``, `Descent.evaluate`, `Objective.loss_and_gradient`, ``batch.accumulate``,
``passes.add_block``; its J'J is `Objective.normal_equations`, ``jacobian.add_normal_equations``.

Conventions: X is (n_samples, n_features), y (n_samples,) or (n_samples, n_outputs). float32 in is
float32 arithmetic and float32 out, everything else float64; losses are summed in float64. A loss is
a mean over rows, weighted by the sample weights, of a sum over outputs, plus
``alpha / 2 * |weights|^2 / sum(sample_weight)``.

Importing fastbp loads no compiler; the first fit does.
"""

from fastbp.backends.cpu.objective import Objective, loss_and_gradient
from fastbp.estimators.regressor import BackpropRegressor
from fastbp.model.network import Network
from fastbp.model_selection.fit_many import fit_many
from fastbp.model_selection.search import BackpropSearchCV

__all__ = [
    "BackpropRegressor",
    "BackpropSearchCV",
    "Network",
    "Objective",
    "__version__",
    "fit_many",
    "loss_and_gradient",
]

__version__ = "0.1.0"
