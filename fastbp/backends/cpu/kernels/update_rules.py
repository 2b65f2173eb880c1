"""How a gradient moves the parameters: the rules of ``model/``, over whole vectors."""

from fastbp.machine import elementary_cpu  # noqa: F401 - gives elementary functions compiled bodies
from fastbp.machine.jit import part
from fastbp.machine.simd import lanes, load, store
from fastbp.machine.switch import switch
from fastbp.model.update_rules import UPDATE_RULES

__all__ = ["move_all", "n_moments_of", "step_size", "step_size_of"]

_RECORDS = UPDATE_RULES.values()


def step_size_of(record):
    """Make a rule's function ``(rule, n_steps) -> rate`` of step number n_steps = 1, 2, ..."""
    if record.step_size is None:

        @part
        def constant(rule, n_steps):
            return rule.learning_rate

        return constant
    formula = part(record.step_size)

    @part
    def of_powers(rule, n_steps):
        return formula(rule, rule.beta_1 ** float(n_steps), rule.beta_2 ** float(n_steps))

    return of_powers


def _move_loop(record):
    """Make a loop of one rule over a stretch of parameters; moments it has not are not touched."""
    move = part(record.move)
    has_first, has_second = record.n_moments > 0, record.n_moments > 1

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


def _n_moments_of(record):
    n_moments = record.n_moments

    @part
    def constant(rule):
        return n_moments

    return constant


_step_size = switch([step_size_of(record) for record in _RECORDS])
_move = switch([_move_loop(record) for record in _RECORDS])
_n_moments = switch([_n_moments_of(record) for record in _RECORDS])


@part
def step_size(rule, n_steps):
    """Learning rate of step number n_steps = 1, 2, ..."""
    return _step_size(rule.code, (rule, n_steps))


@part
def move_all(rule, rate, scale, decay, gradient, w, u, v, start, end):
    """Move a stretch of parameters by one step along scale * gradient + decay * w.

    gradient, w, u, v : (n,), the last three changed in place.  start, end : whole vectors.
    """
    _move(rule.code, (rule, rate, scale, decay, gradient, w, u, v, start, end))


@part
def n_moments_of(rule):
    """How many vectors a rule remembers."""
    return _n_moments(rule.code, (rule,))
