"""A training kept in a file while it goes on, and gone on with after the process was killed.

The file holds what the next iterations depend on, and by which fit it was written: another's data
or parameters are refused. It is replaced in one step, so at any moment it is the old or the new.
"""

import copy
import os
import re
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastbp.solvers.registry import names_where
from fastbp.solvers.states import StochasticState, TrainingState
from fastbp.storage.tensor_file import read_file, write_file
from fastbp.storage.values import Arrays, decode_fields, encode
from fastbp.training.stored_state import decode_training, encode_training
from fastbp.training.task import FitTask, Start

__all__ = ["Keeper", "KeptTraining"]

#: Parameters that do not change what an iteration does; and the generator, which the file holds.
_MAY_CHANGE = {
    *("max_iter", "max_time", "loss_goal", "verbose", "n_jobs", "random_state", "warm_start"),
    *("checkpoint", "checkpoint_every", "max_fun"),
}
_PARTS = {"data", "settings", "generator_before", "training"}


@dataclass
class Keeper:
    """Writes a fit's checkpoint every some seconds.

    Attributes
    ----------
    path : str or path-like
        Where.
    every : float
        Seconds from one writing to the next.
    generator_before : RandomState
        As it was before the validation rows were drawn.
    """

    path: str | os.PathLike[str]
    every: float
    generator_before: np.random.RandomState
    _fit: dict = field(default_factory=dict)
    _left: tuple[int, ...] = ()
    _last: float = field(default_factory=time.monotonic)

    @classmethod
    def of(
        cls, estimator: Any, random_state: np.random.RandomState, one_epoch: bool
    ) -> "Keeper | None":
        """Make that of an estimator, if it is to have one."""
        if estimator.checkpoint is None or one_epoch:
            return None
        generator = copy.deepcopy(random_state)
        return cls(estimator.checkpoint, estimator.checkpoint_every, generator)

    def identify(self, task: FitTask) -> None:
        """Record which fit it is.

        Raises
        ------
        ValueError
            If it is one whose state cannot be kept, or the file's folder does not exist.
        """
        what = f"checkpoint={os.fspath(self.path)!r}"
        _refuse_others(task, what)
        if not os.path.isdir(os.path.dirname(os.path.realpath(self.path))):
            raise ValueError(f"{what} is in a folder that does not exist. Make it first.")
        self._fit, self._left = _identity(task), _stamp(self.path)

    @property
    def is_due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self._last >= self.every

    def write(self, state: TrainingState) -> None:
        """Keep a state in the place of the one before; OSError leaves that as it was.

        Raises
        ------
        ValueError
            If another fit has written the file since this one began.
        """
        self._refuse_another()
        arrays: Arrays = {}
        document = {
            **self._fit,
            "generator_before": encode(self.generator_before, "generator_before", arrays),
            "training": encode_training(state, arrays),
        }
        write_file(self.path, "checkpoint", document, arrays)
        self._left, self._last = _stamp(self.path), time.monotonic()

    def _refuse_another(self) -> None:
        if _stamp(self.path) in ((), self._left):
            return
        try:
            is_own = KeptTraining(self.path).is_of(self._fit, self.generator_before)
        except ValueError:  # it is something else
            is_own = False
        if not is_own:  # the same fit, begun twice, does no harm, nor does a touch
            raise ValueError(
                f"checkpoint={os.fspath(self.path)!r} was written by another fit while this one "
                "was training. Give each fit a file of its own; leave checkpoint out of a grid "
                "search or a cross-validation, whose fits all have the same."
            )


class KeptTraining:
    """A training as a checkpoint holds it.

    Parameters
    ----------
    path : str or path-like
        The file.

    Raises
    ------
    ValueError
        If it holds no checkpoint, or a damaged one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        try:
            self._document, self._arrays = read_file(path, "checkpoint")
            if not isinstance(self._document, dict) or set(self._document) != _PARTS:
                raise ValueError(f"it has not the parts {sorted(_PARTS)}")
            before = {"generator_before": self._document["generator_before"]}
            hints = {"generator_before": np.random.RandomState}
            self._before = decode_fields(before, hints, "checkpoint", self._arrays)
        except (ValueError, RecursionError) as error:
            raise self._refusal(str(error)) from error

    def is_of(self, fit: dict, generator_before: np.random.RandomState) -> bool:
        """Whether that fit, with that generator, has written it."""
        states = self._before["generator_before"].get_state(), generator_before.get_state()
        same = all(np.array_equal(one, other) for one, other in zip(*states, strict=True))
        return same and all(self._document[part] == fit[part] for part in fit)

    def generator_before(self, given: Any) -> np.random.RandomState:
        """Give the generator as it was before the validation rows were drawn, a user's own set."""
        before = self._before["generator_before"]
        if isinstance(given, np.random.RandomState):
            given.set_state(before.get_state())
            return given
        return before

    def resume(self, task: FitTask) -> FitTask:
        """Have a task go on from here.

        Raises
        ------
        ValueError
            If it is another fit.
        """
        _refuse_others(task, f"resume_from={os.fspath(self._path)!r}")
        self._check_identity(task)
        try:
            state = decode_training(self._document["training"], task, self._arrays)
        except ValueError as error:
            raise self._refusal(str(error)) from error
        n_iter, max_iter = state.history.n_iter, task.estimator.max_iter
        if n_iter >= max_iter:
            raise self._refusal(
                f"it has made {n_iter} iterations, and max_iter={max_iter}: raise max_iter"
            )
        random_state = task.start.random_state
        if isinstance(state, StochasticState):  # the others draw nothing once they have begun
            random_state.set_state(state.random_state.get_state())
        start = Start(state.parameters.astype(task.dtype), random_state)
        return task._replace(resumed=state, start=start)

    def _check_identity(self, task: FitTask) -> None:
        identity = _identity(task)
        now, then = identity["settings"], self._document["settings"]
        if not isinstance(then, dict):
            raise self._refusal("it says of no parameters")
        for name in now:
            if now[name] != then.get(name):
                raise self._refusal(
                    f"it was written with {name}={then.get(name)}, and now {name}={now[name]}: set "
                    "it to what it was"
                )
        if identity["data"] != self._document["data"]:
            raise self._refusal(
                "it was written by a fit to other data (X, y, weights, X_val), or to these in "
                "another dtype"
            )

    def _refusal(self, why: str) -> ValueError:
        return ValueError(f"resume_from={os.fspath(self._path)!r} cannot be gone on from: {why}.")


def _identity(task: FitTask) -> dict:
    """Say which fit it is: of data and parameters on which the bits of an iteration depend."""
    validation = task.validation
    digests = [task.data.digest()] + ([] if validation is None else [validation.data.digest()])
    settings = task.estimator.get_params(deep=False)
    return {
        "data": "".join(digest.hex() for digest in digests),
        "settings": {
            # A user's own functions lie somewhere else in each process.
            name: re.sub(r" at 0x[0-9a-f]+", "", repr(value))
            for name, value in settings.items()
            if name not in _MAY_CHANGE
        },
    }


def _stamp(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Tell a file from what was there before and what will be; empty where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _refuse_others(task: FitTask, what: str) -> None:
    if not task.solver.can_be_kept:
        solvers = ", ".join(names_where(lambda each: each.can_be_kept))
        raise ValueError(
            f"{what} is for the solvers {solvers}, and solver={task.solver.name!r} keeps its state "
            "inside of SciPy, out of reach. Take one of them, or leave it out."
        )
    if task.n_init > 1:
        raise ValueError(f"{what} is for one start, and n_init={task.n_init}. Set n_init=1.")
    if task.device != "cpu":
        raise ValueError(f"{what} is for device='cpu', and this fit computes on a GPU.")
