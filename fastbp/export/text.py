"""An activation as text: its operations as an expression, and statements for what is used twice."""

from collections import Counter
from collections.abc import Callable, Mapping

from fastbp.export.trace import CONSTANT, INPUT, Operation

__all__ = ["expression_of"]


def expression_of(
    operations: list[Operation],
    templates: Mapping[str, str],
    literal: Callable[[float], str],
    declare: Callable[[str, Operation], str],
) -> tuple[list[str], str]:
    """Write operations down.

    Parameters
    ----------
    operations : list of Operation
        Of `trace`; the input is called z.
    templates : mapping of str to str
        What each operation is, for `str.format` with its arguments.
    literal : callable
        ``literal(number)`` writes a plain number.
    declare : callable
        ``declare(name, operation)`` is the left side of a statement that gives a result a name.

    Returns
    -------
    statements : list of str
        What comes first.
    expression : str
        The result.
    """
    uses = Counter(argument for operation in operations for argument in operation.arguments)
    statements: list[str] = []
    texts: list[str] = []
    for number, operation in enumerate(operations):
        if operation.name == INPUT:
            texts.append("z")
            continue
        if operation.name == CONSTANT:
            texts.append(literal(operation.constant))
            continue
        arguments = (texts[argument] for argument in operation.arguments)
        text = templates[operation.name].format(*arguments)
        if uses[number] > 1:
            name = f"t{len(statements) + 1}"
            statements.append(f"{declare(name, operation)} = {text}")
            text = name
        texts.append(text)
    return statements, texts[-1]
