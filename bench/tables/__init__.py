"""The tables, one a file: each has ``main(arguments)``, which `run.py` calls."""
