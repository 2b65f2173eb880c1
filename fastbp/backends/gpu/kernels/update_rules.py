"""The update rules on the GPU: the registry's records, for one parameter a thread.

A kernel that is made for one rule takes its functions from `mover` and `step_size_of`; one for all
rules takes `move`, `step_size` and `n_moments_of`, which look at the rule's code.
"""

from fastbp.backends.gpu.kernels.launch_arguments import BETA_1, BETA_2, EPSILON, LEARNING_RATE
from fastbp.machine.choice import choose_by_code
from fastbp.machine.elementary_gpu import lane, number
from fastbp.machine.gpu_kernels import part
from fastbp.model.update_rules import UPDATE_RULES, Rule

__all__ = ["move", "mover", "n_moments_of", "rule_of", "step_size", "step_size_of"]

_RECORDS = UPDATE_RULES.values()


@part
def rule_of(arguments, entry):
    """Read the update rule of an entry of a launch."""
    settings = arguments.settings[entry]
    return Rule(
        arguments.rule_codes[entry],
        settings[LEARNING_RATE],
        settings[BETA_1],
        settings[BETA_2],
        settings[EPSILON],
    )


# Of one rule.


def mover(record):
    """Make a rule's step: ``(rule, rate, gradient, w, u, v)`` -> parameter and moments after it."""
    step = part(record.move)

    @part
    def move_one(rule, rate, gradient, w, u, v):
        new_w, new_u, new_v = step(rule, rate, lane(gradient), lane(w), lane(u), lane(v))
        return number(new_w), number(new_u), number(new_v)

    return move_one


@part
def _learning_rate(rule, power_1, power_2):
    return rule.learning_rate


def step_size_of(record):
    """Make a rule's ``step_size(rule, power_1, power_2)``, of beta_1 and beta_2 to the t."""
    return _learning_rate if record.step_size is None else part(record.step_size)


# Of whichever rule.


def _move_link(code, move_one, others):
    @part
    def choose(rule, rate, gradient, w, u, v):
        if rule.code == code:
            return move_one(rule, rate, gradient, w, u, v)
        return others(rule, rate, gradient, w, u, v)

    return choose


@part
def _no_move(rule, rate, gradient, w, u, v):
    return w, u, v


def _step_size_link(code, step_size_of_one, others):
    @part
    def choose(rule, n_steps):
        if rule.code == code:
            return step_size_of_one(
                rule, rule.beta_1 ** float(n_steps), rule.beta_2 ** float(n_steps)
            )
        return others(rule, n_steps)

    return choose


@part
def _no_step_size(rule, n_steps):
    return rule.learning_rate


def _n_moments_link(code, n_moments, others):
    @part
    def choose(rule):
        if rule.code == code:
            return n_moments
        return others(rule)

    return choose


@part
def _no_moments(rule):
    return 0


#: ``move(rule, rate, gradient, w, u, v) -> (w, u, v)``: one parameter's step.
move = choose_by_code(_move_link, map(mover, _RECORDS), _no_move)

#: ``step_size(rule, n_steps) -> rate`` of step number n_steps = 1, 2, ...
step_size = choose_by_code(_step_size_link, map(step_size_of, _RECORDS), _no_step_size)

#: ``n_moments_of(rule) -> int``: how many vectors a rule remembers.
n_moments_of = choose_by_code(
    _n_moments_link, (record.n_moments for record in _RECORDS), _no_moments
)
