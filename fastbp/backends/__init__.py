"""Where sums over rows are made: the CPU's folder and the GPU's, which do not know each other.

``device.py`` is the one place that chooses between them.
"""
