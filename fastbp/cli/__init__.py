"""The command line: ``python -m fastbp``."""
