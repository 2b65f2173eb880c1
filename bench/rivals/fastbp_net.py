"""fastbp below its estimator, at the objective, where an epoch is one compiled call or some."""

from bench.cases import RATE, initial_parameters
from fastbp import Objective
from fastbp.backends.cpu.predict import predict
from fastbp.model import update_rules
from fastbp.model.data import as_data
from fastbp.model.objective import NO_PATIENCE, EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.model.update_rules import Moments

NAME = "fastbp"


def missing():
    return None


def fits(case, dtype):
    return True


def epochs(case, X, y, n_threads=1):
    parameters = initial_parameters(case, X.dtype)
    objective = Objective(case.network, as_data(X, y), case.alpha, n_threads)
    moments = Moments.zeros(parameters.size, parameters.dtype)
    if case.solver == "sgd":
        rule = update_rules.sgd(RATE, case.momentum, case.update == "nesterov")
    else:
        rule = update_rules.adam(RATE, 0.9, 0.999, 1e-8)
    run = objective.run(parameters, case.batch_size, rule, moments, Shuffles(None))

    def epochs_in_few_calls(n_epochs=1):
        while n_epochs > 0:
            n_epochs -= len(run.epochs(EpochPlan(rule, NO_PATIENCE, n_epochs)))

    return epochs_in_few_calls, lambda: run.parameters


def prediction(case, X):
    parameters, data = initial_parameters(case, X.dtype), as_data(X)
    return lambda: predict(case.network, parameters, data)
