"""One fit, in and out: a `FitTask`, all checked and drawn, becomes a `FitResult`."""

import hashlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.backends.device import resolve
from fastbp.diagnostics.uncertainty import Posterior
from fastbp.model.data import Data, Rows
from fastbp.model.network import Network
from fastbp.model.update_rules import Rule
from fastbp.solvers.descent import Minimised
from fastbp.solvers.history import History
from fastbp.solvers.monitor import Checkpoint, Watcher
from fastbp.solvers.path import Path
from fastbp.solvers.registry import SOLVERS, Solver
from fastbp.solvers.states import TrainingState
from fastbp.solvers.stochastic import OptimiserState
from fastbp.solvers.stopping import StopReason
from fastbp.training.generators import copy_of, generator_of
from fastbp.training.validation_set import ValidationSet

if TYPE_CHECKING:
    from fastbp.training.callbacks import FitReport

__all__ = ["FitResult", "FitTask", "Start"]


class Start(NamedTuple):
    """Where a training starts: parameters, where its shuffles are drawn from, and which it is."""

    parameters: NDArray[np.floating]
    random_state: np.random.RandomState
    number: int = 0


class FitTask(NamedTuple):
    """A fit that is to be made.

    Attributes
    ----------
    estimator : BackpropEstimator
        Whose parameters are read; it is not changed.
    network : Network
        The network.
    data : Rows
        The rows to train on.
    validation : ValidationSet or None
        The rows to validate on.
    start : Start
        The first start; its parameters are not changed.
    state : OptimiserState or None
        Where to go on from; not changed.
    n_init : int
        How many starts; the others are drawn here.
    one_epoch : bool
        Whether this is a `partial_fit`: one epoch, with the moments of the last training.
    watchers : tuple of callable
        Called at the end of each iteration.
    report : FitReport or None
        Tells the estimator's callbacks, if it has any.
    checkpoint : Checkpoint or None
        Where the training is kept while it goes on.
    resumed : TrainingState or None
        One that was kept so, to go on with.
    """

    estimator: Any
    network: Network
    data: Rows
    validation: ValidationSet | None
    start: Start
    state: OptimiserState | None
    n_init: int = 1
    one_epoch: bool = False
    watchers: tuple[Watcher, ...] = ()
    report: "FitReport | None" = None
    checkpoint: Checkpoint | None = None
    resumed: TrainingState | None = None

    @property
    def solver(self) -> Solver:
        """The solver."""
        return SOLVERS[self.estimator.solver]

    @property
    def rule(self) -> Rule | None:
        """The update rule of sgd and adam as the parameters have it."""
        make_rule = self.solver.rule
        return None if make_rule is None else make_rule(self.estimator)

    @property
    def dtype(self) -> np.dtype:
        """float64 or float32, what is computed in."""
        return self.data.dtype

    @property
    def device(self) -> str:
        """Where it is computed: "cpu" or "cuda"."""
        can_choose = "cuda" in self.solver.devices
        return resolve(self.estimator.device) if can_choose else "cpu"

    @property
    def is_partitioned(self) -> bool:
        """Whether the rows lie in partitions of Dask collections."""
        return not isinstance(self.data, Data)

    @property
    def finds_alpha(self) -> bool:
        """Whether the weight decay is to be found."""
        return isinstance(self.estimator.alpha, str)

    @property
    def batch_state(self) -> type | None:
        """What a batch solver keeps from one iteration to the next."""
        return self.solver.bayesian_state if self.finds_alpha else self.solver.state

    @property
    def alpha(self) -> float:
        """Strength of the weight decay, 0 where it is to be found."""
        return 0.0 if self.finds_alpha else float(self.estimator.alpha)

    def starts(self) -> Iterator[Start]:
        """Draw the first start, and others; its generator goes on as if it were alone."""
        if self.n_init == 1:
            yield self.start
            return
        seeds = copy_of(self.start.random_state)  # before the first one's shuffles
        yield self.start
        for number in range(1, self.n_init):
            generator = generator_of(seeds.randint(2**31))
            yield Start(self.network.initial_parameters(generator, self.dtype), generator, number)

    @property
    def has_own_generator(self) -> bool:
        """Whether a number seeds its generator, which nobody else draws from."""
        return isinstance(self.estimator.random_state, int)

    def digest(self, of_data: bytes) -> bytes:
        """Equal for tasks that come to the same: in data, parameters, start and shuffles.

        Parameters
        ----------
        of_data : bytes
            What tells the data from others.

        Returns
        -------
        digest : bytes
            Almost certainly another one for any other task.
        """
        digest = hashlib.blake2b(digest_size=16)
        parameters = self.estimator.get_params(deep=False)
        if not self.has_own_generator:  # what was drawn from its own follows from all the rest
            del parameters["random_state"]
            state = self.start.random_state.get_state(legacy=False)["state"]
            digest.update(np.ascontiguousarray(state.pop("key", ())).tobytes())
            digest.update(repr(state).encode())
        for part in (self.network, self.n_init, self.one_epoch, self.state is None, parameters):
            digest.update(repr(part).encode())
        digest.update(self.start.parameters.tobytes())
        digest.update(of_data)
        if self.validation is not None:
            digest.update(self.validation.data.digest())
        return digest.digest()


class FitResult(NamedTuple):
    """What came of a fit.

    Attributes
    ----------
    solver : Solver
        The solver that made it.
    parameters : ndarray of shape (n_parameters,)
        The new parameters.
    history : History
        How it went.
    stop_reason : str
        Why it stopped.
    state : OptimiserState or None
        What a stochastic solver can go on from.
    alpha, effective_parameters : float or None
        The weight decay, and how many parameters the data determine, where they were found.
    init_losses : ndarray of shape (n_starts,)
        The final loss of each start that was begun.
    all_parameters : tuple of ndarray
        The parameters of all starts, the best's among them, where they are kept.
    posterior : Posterior or None
        How far the data determine the parameters, where the solver's matrix tells.
    path : ndarray of shape (n_points, n_parameters) or None
        The parameters at the start and after each iteration, thinned, where they were recorded.
    """

    solver: Solver
    parameters: NDArray[np.floating]
    history: History
    stop_reason: StopReason
    state: OptimiserState | None = None
    alpha: float | None = None
    effective_parameters: float | None = None
    init_losses: NDArray[np.float64] = np.empty(0)
    all_parameters: tuple[NDArray[np.floating], ...] = ()
    posterior: Posterior | None = None
    path: NDArray[np.floating] | None = None

    @classmethod
    def of(
        cls,
        solver: Solver,
        minimised: Minimised,
        state: OptimiserState | None = None,
        path: Path | None = None,
    ) -> "FitResult":
        """Make it of what a solver returns, and of the path that it went."""
        parameters, history, stop_reason, alpha, effective_parameters = minimised
        points = None if path is None else path.points().astype(parameters.dtype, copy=False)
        return cls(
            solver,
            parameters,
            history,
            stop_reason,
            state,
            alpha,
            effective_parameters,
            path=points,
        )

    @property
    def is_lost(self) -> bool:
        """Whether the parameters are not finite.

        A batch solver keeps the best that were, early stopping those of the best score.
        """
        score = self.history.best_validation_score
        has_best = score is not None and math.isfinite(score)
        return self.stop_reason == "diverged" and self.solver.is_stochastic and not has_best

    @property
    def final_loss(self) -> float:
        """The loss of the parameters; NaN where training diverged, or no time was left."""
        untrained = self.stop_reason == "time" and self.history.n_iter == 0
        return math.nan if self.is_lost or untrained else self.history.loss

    @property
    def rank(self) -> tuple[float, float]:
        """What is least for the best of several starts."""
        score, loss = self.history.best_validation_score, self.final_loss
        if math.isnan(loss):
            return math.inf, math.inf
        return -score if score is not None and math.isfinite(score) else math.inf, loss
