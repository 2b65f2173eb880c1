"""What the command lines of the tables have in common."""

import argparse

__all__ = ["parse_names", "parser"]


def parser(name, doc):
    """Make a parser that shows a table's docstring under ``--help``."""
    return argparse.ArgumentParser(
        prog=f"run.py {name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parse_names(own, choices, arguments):
    """Parse options and ``names`` of the choices; all of them, if none is named."""
    listed = ", ".join(choices)
    own.add_argument("names", nargs="*", metavar="NAME", help=f"of {listed}; all, if left out")
    options = own.parse_intermixed_args(arguments)
    for name in options.names:
        if name not in choices:
            own.error(f"there is no {name!r}: there are {listed}")
    options.names = options.names or list(choices)
    return options
