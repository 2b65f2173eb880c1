"""Arrays between unreadable pages: whoever reads or writes past an end is killed by the chip.

Guard values around an array show what was written beside it. This shows what was read as well; so a
test of it runs in a process of its own.
"""

import ctypes
import mmap
import threading
import weakref
from collections import Counter, defaultdict
from functools import cache

import numpy as np

#: The end of an array that lies at a guard.
SIDES = ("begin", "end")

_PAGE = mmap.PAGESIZE
_GUARD = 64 * _PAGE  # so wide that one row too many of a matrix does not jump over it
_PROT_NONE = 0
_LARGE = 2**20
_OF_A_CLOCK = "tally"  # of a team, whose times are others in each call


def copy_beside_guard(array, side):
    """Copy an array to where it begins, or ends, to the byte, at an unreadable page."""
    room = _room_between_guards(-(-array.nbytes // _PAGE) * _PAGE)
    start = room.size - array.nbytes if side == "end" else 0
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


_spare_rooms = defaultdict(list)  # by size; to make one takes as long as a small kernel does


def _room_between_guards(n_bytes):
    """Give whole pages, as an array of bytes; they may have been used before."""
    if _spare_rooms[n_bytes]:
        return _spare_rooms[n_bytes].pop()
    memory = mmap.mmap(-1, n_bytes + 2 * _GUARD, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for start in (address, address + _GUARD + n_bytes):
        if _mprotect()(ctypes.c_void_p(start), ctypes.c_size_t(_GUARD), _PROT_NONE) != 0:
            raise OSError(ctypes.get_errno(), "mprotect refused to make a guard page")
    return np.frombuffer(memory, np.uint8, n_bytes, _GUARD)


def _give_back(copy):
    """Let the place of a copy be used again, but for large ones, which would fill the memory."""
    if copy.base.size < _LARGE:
        _spare_rooms[copy.base.size].append(copy.base)


@cache
def _mprotect():
    return ctypes.CDLL(None, use_errno=True).mprotect


def guard_kernels():
    """Call every kernel of the CPU twice more from now on, with all its arrays beside guards.

    First all begin at a guard, then all end at one, then the call is made as it stands. All three
    have to leave the same bits in every array.

    Returns
    -------
    n_calls : Counter
        How often each kernel was called; 0 at first.
    """
    from numba.core.dispatcher import Dispatcher

    from fastbp.backends.cpu import kernels

    n_calls, plans = Counter(), _Plans(kernels.write_plan)
    kernels.write_plan = plans.write
    for name in kernels.__all__:
        kernel = getattr(kernels, name)
        if isinstance(kernel, Dispatcher) or name in ("learn_one", "online_epochs"):
            setattr(kernels, name, _called_thrice(name, kernel, n_calls, plans))
    kernels.LANE_KERNELS = [
        _called_thrice("lane_epochs", kernel, n_calls, plans) for kernel in kernels.LANE_KERNELS
    ]
    return n_calls


class _Plans:
    """What plans were written of, as long as they live."""

    def __init__(self, write):
        self._write, self._parts = write, {}

    def write(self, parts):
        """Write a plan, and remember of what."""
        plan = self._write(parts)
        self._parts[id(plan)] = parts
        weakref.finalize(plan, self._parts.pop, id(plan))
        return plan

    def parts_of(self, argument):
        """Give what an argument is a plan of, or itself."""
        return self._parts.get(id(argument), argument)

    def like(self, argument, parts):
        """Give parts in the form that an argument has: a plan of them, or themselves."""
        return self._write(parts) if id(argument) in self._parts else parts


_one_at_a_time = threading.Lock()  # threads write to different parts of one array


def _called_thrice(name, kernel, n_calls, plans):
    n_calls.setdefault(name, 0)

    def run(*arguments):
        with _one_at_a_time:
            n_calls[name] += 1
            if name == "team_epochs" and arguments[0] > 0:
                return kernel(*arguments)  # a helper, for which the leader has left nothing to do
            parts = tuple(map(plans.parts_of, arguments))
            copies = [_beside_guards(parts, side, {}) for side in SIDES]
            results = [kernel(*map(plans.like, arguments, copy)) for copy in copies]
            result = kernel(*arguments)
            for side, copy, other in zip(SIDES, copies, results, strict=True):
                assert repr(other) == repr(result), (name, side)
                for i, (a, b) in enumerate(zip(_arrays(copy), _arrays(parts), strict=True)):
                    assert a.tobytes() == b.tobytes(), (name, side, i)
                for a in {id(array): array for array in _arrays(copy)}.values():
                    _give_back(a)
        return result

    return run


def _beside_guards(argument, side, copied):
    """Copy all arrays of an argument, those in tuples too; what is there twice, once."""
    if isinstance(argument, np.ndarray):
        if id(argument) not in copied:
            copied[id(argument)] = copy_beside_guard(argument, side)
        return copied[id(argument)]
    if isinstance(argument, tuple):
        copies = [_beside_guards(part, side, copied) for part in argument]
        return argument._make(copies) if hasattr(argument, "_make") else tuple(copies)
    return argument


def _arrays(argument):
    if isinstance(argument, np.ndarray):
        yield argument
    elif isinstance(argument, tuple):
        for name, part in zip(getattr(argument, "_fields", argument), argument, strict=True):
            if not (isinstance(name, str) and name == _OF_A_CLOCK):
                yield from _arrays(part)
