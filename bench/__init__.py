"""Benchmarks: what fastbp takes beside its rivals and beside the limits of the machine.

- ``run.py TABLE`` prints a table of RESULTS.md; without a name it lists the tables.
- ``tables/``: one table, or one set of them, a file. A new file there is a new table.
- ``instruments/``: what measures, checks and writes down.
- ``rivals/``: the implementations that are timed against each other, one a file; in
  ``rivals/libraries`` those in C and C++, and how to install them. What is not there is left out.
- ``track/``: single kernels from version to version, with pytest-benchmark: `pytest bench/track`.
- ``cases.py``, ``problems.py``: what is timed: networks, data, and what a sample costs.

Imports go down only: tables and track, instruments, rivals, cases and problems.
"""
