"""fastbp: small and medium neural networks, trained by compiled backpropagation.

The map of the house, from the roof down. Imports go down only; rooms on one line do not know each
other. CONTRIBUTING.md says which file to write for a new activation, loss, rule, solver, ...

``cli/``              the command line: ``main``, ``commands`` with ``option_types``; ``fit_csv``
                      with ``plot_loss``, ``predict_csv``, ``export_model``, ``info``, ``demo``;
                      ``csv_table`` over ``csv_file``, ``inputs`` and ``cells``; ``model_files``,
                      ``terminal``
``model_selection/``  `fit_many`, `BackpropSearchCV`, ``folds``
                      |  ``persistence/``  ``model_file`` (`save`, `load`), ``estimators``,
                      ``transformers``  |  ``plotting/``  one Display a file
                      |  ``precompilation/``  `warmup` over ``warmups``, what can be compiled ahead
``estimators/``       ``base`` (fit, partial_fit, state, pickling), ``one_sample`` (predict_one,
                      learn_one), ``inspection`` (check_gradient, stationary_point,
                      input_gradient), ``uncertainty`` (return_std, committees),
                      ``regressor`` with ``target_scaling``, ``classifier`` with ``labels``,
                      ``table_encoder`` (columns of text, missing values), ``collections`` with
                      ``target_summary`` (Dask's arrays and DataFrames);
                      ``parameters``, ``checks``, ``plain``, ``refusals``: what a user may give;
                      ``scores``
``training/``         ``task`` (FitTask in, FitResult out), ``fit`` (one start or several, how it
                      ended), ``start_results`` (the best is kept), ``options`` (from parameters to
                      a solver's), ``validation_set``, ``side_by_side`` (many fits at once),
                      ``callbacks`` (scikit-learn's), ``checkpoint``, ``stored_state`` (a training
                      in a file), ``generators``, ``interrupts``; ``advice``, ``warn``: what
                      a user is told
``solvers/``          one algorithm a file, all listed in ``registry``; ``stochastic`` and
                      ``descent`` are what they stand on; ``monitor``: the end of an iteration;
                      ``states``: what a checkpoint holds; ``stopping``: when and why
                      |  ``diagnostics/``  ``gradient_check``, ``stationary_point``,
                      ``uncertainty`` (Laplace's approximation)
                      |  ``export/``  one format a file, over ``fitted`` and ``trace``
``backends/``         ``device`` chooses between ``cpu/``, ``gpu/`` and ``dask/`` (rows in
                      partitions, summed where they lie by ``schedulers``): ``objective`` (what
                      solvers minimise), ``epochs`` (with ``team``: in threads) or ``fleet``,
                      ``full_pass``, ``predict``, ``jacobian``, ``kernels/``; on the CPU
                      ``curvature`` (second derivatives), and ``elementwise`` and ``softmax``, which
                      compile a network's activations and loss, called by kernels by the addresses
                      in its ``layout``, of which they take the ``plans``
``model/``            ``network``, ``activations``, ``losses``, ``own_records`` (a user's, checked),
                      ``update_rules``, ``data``, ``shuffles``, ``objective`` and ``fleet`` (the
                      protocols): plain Python, no compiler
``machine/``          what the chip and the compiler offer; knows no neural network
                      |  ``storage/``  ``tensor_file`` and ``values``: files that hold no code;
                      ``replacement``: the old file or the new one
                      |  ``version``

One fit on its way down: `BackpropEstimator.fit` (``estimators/base``) checks and draws a `FitTask`;
``training.fit`` asks ``backends.device`` for an objective and hands it to `Solver.minimise`. sgd
and adam: ``stochastic.plan_epochs``, `CpuRun.epochs`, the kernel ``batch.batch_epochs`` (its loop
over epochs is ``epochs.epochs_of``), ``passes.add_block``, ``machine.matmul.product``. A batch
solver: ``descent.descend``, `Objective.loss_and_gradient`, ``batch.accumulate``, then the same.
Back up comes a `FitResult`.

Conventions: X is (n_samples, n_features), y (n_samples,) or (n_samples, n_outputs). float32 in is
float32 arithmetic and float32 out, everything else float64; losses are summed in float64. A loss is
a mean over rows, weighted by the sample weights, of a sum over outputs, plus
``alpha / 2 * |weights|^2 / sum(sample_weight)``. Importing fastbp loads no compiler.
"""

from fastbp.backends.cpu.objective import Objective, loss_and_gradient
from fastbp.cli.info import show_versions
from fastbp.estimators.classifier import BackpropClassifier
from fastbp.estimators.regressor import BackpropRegressor
from fastbp.export.c_source import to_c
from fastbp.export.njit import to_njit
from fastbp.export.numpy_source import to_numpy
from fastbp.export.onnx import to_onnx
from fastbp.machine import elementary
from fastbp.model.activations import Activation
from fastbp.model.losses import Loss
from fastbp.model.network import Network
from fastbp.model_selection.fit_many import fit_many
from fastbp.model_selection.search import BackpropSearchCV
from fastbp.persistence.model_file import load, save
from fastbp.plotting import (
    ErrorHistogramDisplay,
    ErrorSurfaceDisplay,
    LossCurveDisplay,
    NetworkDisplay,
    RestartsDisplay,
)
from fastbp.precompilation.warmup import warmup
from fastbp.version import __version__

__all__ = [
    "Activation",
    "BackpropClassifier",
    "BackpropRegressor",
    "BackpropSearchCV",
    "ErrorHistogramDisplay",
    "ErrorSurfaceDisplay",
    "Loss",
    "LossCurveDisplay",
    "Network",
    "NetworkDisplay",
    "Objective",
    "RestartsDisplay",
    "__version__",
    "elementary",
    "fit_many",
    "load",
    "loss_and_gradient",
    "save",
    "show_versions",
    "to_c",
    "to_njit",
    "to_numpy",
    "to_onnx",
    "warmup",
]
