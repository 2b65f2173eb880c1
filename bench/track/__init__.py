"""Single kernels under pytest-benchmark: ``pytest bench/track``."""
