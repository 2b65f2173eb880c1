"""Print a table: ``python bench/run.py TABLE [options]``; without a name, list the tables.

``python bench/run.py TABLE --help`` says what a table holds, how it is measured, and its options.
A table is a file in ``tables/`` with ``main(arguments)``, which may return an exit status.
"""

import ast
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # instead of this folder: `bench` and `fastbp` are this checkout's


def tables():
    """Files of the tables by name."""
    files = sorted((HERE / "tables").glob("*.py"))
    return {file.stem: file for file in files if not file.stem.startswith("_")}


def first_line(file):
    """First line of a file's docstring; nothing is imported for it."""
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))).splitlines()[0]


def main(arguments):
    """Run the table that the arguments name; returns the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        for name, file in tables().items():
            print(f"  {name:10}{first_line(file)}")
        return 0
    name, *rest = arguments
    if name not in tables():
        print(f"No table {name!r}: there are {', '.join(tables())}.", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(f"bench.tables.{name}").main(rest)
    except AssertionError as difference:
        print(
            f"The implementations do not compute the same; there is no table.\n{difference}",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
