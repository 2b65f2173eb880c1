"""What a network is, in plain Python: no compiler is imported here.

`Network`, activations, losses, update rules, data, shuffles, and the protocols between solvers and
backends (``objective.py``).
"""
