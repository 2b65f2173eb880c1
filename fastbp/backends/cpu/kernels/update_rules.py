"""How a gradient moves the parameters: the rules of ``update_rules``, over whole vectors."""

from fastbp.machine import elementary_cpu  # noqa: F401 - gives elementary functions compiled bodies
from fastbp.machine.jit import part
from fastbp.machine.simd import lanes, load, store
from fastbp.model import update_rules
from fastbp.model.update_rules import ADAM, MOMENTUM, NESTEROV, PLAIN

__all__ = ["MOVES", "move_all", "step_size"]

step_size = part(update_rules.step_size)
MOVES = {kind: part(move) for kind, move in update_rules.MOVES.items()}


def _loop(move, n_moments):
    """Make a loop of one rule over a stretch of parameters; moments it has not are not touched."""
    has_first, has_second = n_moments > 0, n_moments > 1

    @part
    def run(rule, rate, scale, decay, gradient, w, u, v, start, end):
        for i in range(start, end, lanes(w)):
            old = load(w, i)
            g = scale * load(gradient, i) + decay * old
            new_w, new_u, new_v = move(rule, rate, g, old, load(u, i), load(v, i))
            store(w, i, new_w)
            if has_first:
                store(u, i, new_u)
            if has_second:
                store(v, i, new_v)

    return run


_move_plain = _loop(MOVES[PLAIN], 0)
_move_momentum = _loop(MOVES[MOMENTUM], 1)
_move_nesterov = _loop(MOVES[NESTEROV], 1)
_move_adam = _loop(MOVES[ADAM], 2)


@part
def move_all(rule, rate, scale, decay, gradient, w, u, v, start, end):
    """Move a stretch of parameters by one step along scale * gradient + decay * w.

    gradient, w, u, v : (n,), the last three changed in place.  start, end : whole vectors.
    """
    if rule.kind == PLAIN:
        _move_plain(rule, rate, scale, decay, gradient, w, u, v, start, end)
    elif rule.kind == MOMENTUM:
        _move_momentum(rule, rate, scale, decay, gradient, w, u, v, start, end)
    elif rule.kind == NESTEROV:
        _move_nesterov(rule, rate, scale, decay, gradient, w, u, v, start, end)
    else:
        _move_adam(rule, rate, scale, decay, gradient, w, u, v, start, end)
