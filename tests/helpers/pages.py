"""Pages in Markdown: their Python runs, and prints what the page shows."""

import re
from contextlib import redirect_stdout
from io import StringIO

import pytest

_BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n+^```text\n(.*?)^```$)?", re.M | re.S)
_NUMBER = r"-?\d+\.?\d*(?:e[-+]\d+)?"


def run_blocks(page):
    """Run a page's blocks of Python one after the other, and return what they print.

    A block of text that follows one shows what it prints.
    """
    scope, everything = {"__name__": "page"}, []
    for code, shown in _BLOCK.findall(page):
        with redirect_stdout(StringIO()) as printed:
            exec(code, scope)  # noqa: S102
        everything.append(printed.getvalue())
        if shown:
            assert_shows(shown, printed.getvalue())
    return "".join(everything)


def assert_shows(shown, printed):
    """Compare words exactly, but for ``...``, and numbers by size.

    The last digits, and how many iterations it took, differ from machine to machine.
    """
    tokens = re.split(rf"({_NUMBER}|\.\.\.|\s+)", shown.strip())
    match = re.fullmatch("".join(map(_pattern, tokens)), printed.strip(), re.S)
    assert match, printed
    numbers = [float(token) for token in tokens if re.fullmatch(_NUMBER, token)]
    assert numbers == pytest.approx([float(n) for n in match.groups()], rel=0.1, abs=0.01), printed


def _pattern(token):
    if re.fullmatch(_NUMBER, token):
        return f"({_NUMBER})"
    return ".*?" if token == "..." else r"\s+" if token.isspace() else re.escape(token)
