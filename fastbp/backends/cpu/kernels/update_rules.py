"""How a gradient moves the parameters: the rules of ``model/``, over whole vectors."""

from fastbp.machine import elementary_cpu  # noqa: F401 - gives elementary functions compiled bodies
from fastbp.machine.choice import choose_by_code
from fastbp.machine.jit import part
from fastbp.machine.simd import lanes, load, store
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


def _step_size_link(code, of_one, others):
    @part
    def choose(rule, n_steps):
        if rule.code == code:
            return of_one(rule, n_steps)
        return others(rule, n_steps)

    return choose


def _move_link(code, loop, others):
    @part
    def choose(rule, rate, scale, decay, gradient, w, u, v, start, end):
        if rule.code == code:
            loop(rule, rate, scale, decay, gradient, w, u, v, start, end)
        else:
            others(rule, rate, scale, decay, gradient, w, u, v, start, end)

    return choose


def _n_moments_link(code, n_moments, others):
    @part
    def choose(rule):
        if rule.code == code:
            return n_moments
        return others(rule)

    return choose


@part
def _no_step_size(rule, n_steps):
    return rule.learning_rate


@part
def _no_move(rule, rate, scale, decay, gradient, w, u, v, start, end):
    pass


@part
def _no_moments(rule):
    return 0


#: ``step_size(rule, n_steps) -> rate`` of step number n_steps = 1, 2, ...
step_size = choose_by_code(_step_size_link, map(step_size_of, _RECORDS), _no_step_size)

#: ``move_all(rule, rate, scale, decay, gradient, w, u, v, start, end)``: move a stretch of
#: parameters by one step along scale * gradient + decay * w. gradient, w, u, v are (n,), the last
#: three changed in place; start and end are those of whole vectors.
move_all = choose_by_code(_move_link, map(_move_loop, _RECORDS), _no_move)

#: ``n_moments_of(rule) -> int``: how many vectors a rule remembers.
n_moments_of = choose_by_code(
    _n_moments_link, (record.n_moments for record in _RECORDS), _no_moments
)
