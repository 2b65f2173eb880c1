"""Networks that stop early, for every solver."""

import pytest

from fastbp import BackpropRegressor
from helpers.cases import BATCH_SOLVERS, STOCHASTIC_SOLVERS

SOLVERS = (*STOCHASTIC_SOLVERS, *BATCH_SOLVERS)
EVERY_SOLVER = pytest.mark.parametrize("solver", SOLVERS)
N_TRAINED = 40


def make_net(solver, **parameters):
    defaults = {
        "hidden_layer_sizes": (8,),
        "activation": "tanh",
        "max_iter": 60,
        "random_state": 0,
        "early_stopping": True,
        "learning_rate_init": 0.05,
        "tol": 0,
    }
    return BackpropRegressor(solver=solver, **defaults | parameters)
