"""Networks in lanes: how far each goes in its next step."""

from fastbp.machine.jit import part
from fastbp.machine.simd import load_lanes, store
from fastbp.model.update_rules import Rule

__all__ = ["step_size_of"]


def step_size_of(record):
    """Make a rule's learning rate of the next step, lane by lane."""
    if record.step_size is None:

        @part
        def constant(plans, rule, workspace):
            return load_lanes(plans.learning_rate, 0, workspace.parameters)

        return constant
    formula = part(record.step_size)

    @part
    def of_powers(plans, rule, workspace):
        like = workspace.parameters
        power_1 = load_lanes(workspace.power_1, 0, like) * rule.beta_1
        power_2 = load_lanes(workspace.power_2, 0, like) * rule.beta_2
        store(workspace.power_1, 0, power_1)
        store(workspace.power_2, 0, power_2)
        rate = load_lanes(plans.learning_rate, 0, like)
        given = Rule(rule.code, rate, rule.beta_1, rule.beta_2, rule.epsilon)
        return formula(given, power_1, power_2)

    return of_powers
