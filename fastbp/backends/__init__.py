"""Where sums over rows are made: a folder each for the CPU and the GPU, which do not know each other.

``device.py`` is the one place that chooses between them.
"""
