"""Epochs over rows in an order of the test's own, on the CPU."""

from fastbp.model.objective import NO_PATIENCE, EpochPlan
from fastbp.model.shuffles import Shuffles
from fastbp.solvers import Options
from fastbp.solvers.monitor import Monitor
from fastbp.solvers.stopping import Limits

__all__ = ["batch_options", "epoch", "epochs"]

NO_SHUFFLES = Shuffles(None)


def epochs(objective, parameters, rows, batch_size, rule, moments, shuffles, patience, max_epochs):
    """Make epochs, as many as one compiled call does; all arrays are changed in place."""
    run = objective.run(parameters, batch_size, rule, moments, shuffles)
    run.parameters, run.rows = parameters, rows
    return run.epochs(EpochPlan(rule, patience, max_epochs))


def epoch(objective, parameters, rows, batch_size, rule, moments):
    """Make one epoch over rows as they are ordered; returns its loss."""
    (loss,) = epochs(
        objective, parameters, rows, batch_size, rule, moments, NO_SHUFFLES, NO_PATIENCE, 1
    )
    return loss


def batch_options(early_stopping=None, verbose=False, **options):
    """Make the options of a batch solver from the estimator's names."""
    names = ("max_fun", "ftol", "cg_update", "lm_acceleration")
    own = {name: options.pop(name) for name in names if name in options}
    monitor = Monitor(early_stopping=early_stopping, verbose=verbose)
    return Options(limits=Limits(**options), monitor=monitor, **own)
