"""Mini-batches in threads: how many are worth it, and the calls of each.

``kernels/team.py`` has what the members of a team do.
"""

import os
from typing import Any

import numpy as np

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.full_pass import FullPass
from fastbp.machine.threads import run_team

__all__ = ["TeamOfThreads", "n_members_for"]

# A thread is worth it from so many floating-point operations of a batch on: some 30 microseconds,
# beside one or two of waiting. And whatever the network, what goes from core to core for a weight
# takes as long as a few dozen rows' work on it.
_FLOPS_OF_A_MEMBER, _ROWS_OF_A_MEMBER = 1_000_000, 64
_MAX_RESTS = 32

#: Dtypes whose kernel is compiled: the thread that calls does so, where Ctrl-C is seen.
_COMPILED: set[np.dtype] = set()


def n_members_for(full_pass: FullPass, batch_size: int) -> int:
    """How many threads are worth it for batches of so many rows; 1 is the ordinary loop."""
    if batch_size == 1 or not load_kernels().can_wait():
        return 1
    n_rows = min(batch_size, full_pass.data.n_samples)
    flops = 6 * full_pass.network.n_parameters * n_rows
    worth_it = min(flops // _FLOPS_OF_A_MEMBER, n_rows // _ROWS_OF_A_MEMBER)
    return max(1, min(full_pass.n_threads, worth_it, _n_cores()))


def _n_cores() -> int:
    """How many cores this process may use: a thread without one only delays the others."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class TeamOfThreads:
    """Threads that share mini-batches; the first of them is the one that calls.

    Parameters
    ----------
    full_pass : FullPass
        Network, data and workspace.
    batch_size : int
        Rows of a batch; there may be larger ones.
    n_members : int
        How many threads.
    """

    def __init__(self, full_pass: FullPass, batch_size: int, n_members: int) -> None:
        self._kernels, self._dtype = load_kernels(), full_pass.data.dtype
        self._n_helpers = n_members - 1
        self._team = self._kernels.make_team(
            full_pass.layout, full_pass.workspace, batch_size, n_members
        )
        # Calls that are made alone after one that dissolved the team: twice as many each time.
        self._n_rests = self._rests_left = 0

    def epochs(self, *arguments: Any) -> Any:
        """Make some epochs: arguments and results are those of `batch_epochs`."""
        kernels, team = self._kernels, self._team
        shared = (*arguments[:-1], team)  # whose workspace it is
        for numbers in (team.queues, team.n_rows_done, team.n_rows_due, team.progress, team.tally):
            numbers[:] = 0
        n_helpers = self._n_helpers
        if self._rests_left > 0 or self._dtype not in _COMPILED:
            n_helpers, self._rests_left = 0, max(0, self._rests_left - 1)
        team.tally[kernels.ALONE] = n_helpers == 0
        result = run_team(
            lambda: kernels.team_epochs(0, *shared),
            lambda member: kernels.team_epochs(member, *shared),
            n_helpers,
            self._dismiss,
        )
        _COMPILED.add(self._dtype)
        if n_helpers > 0:
            was_dissolved = team.tally[kernels.ALONE] == 1
            self._n_rests = min(2 * self._n_rests + 1, _MAX_RESTS) if was_dissolved else 0
            self._rests_left = self._n_rests
        return result

    def _dismiss(self) -> None:
        self._team.queues[self._kernels.LEAVE :: self._kernels.LINE] = 1
