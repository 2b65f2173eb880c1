"""``python -m fastbp``: the command line, which stands in ``cli/``."""

import sys

from fastbp.cli.main import run

if __name__ == "__main__":
    sys.exit(run())
