"""The version: here alone, for the package, its pickles and ``pyproject.toml``."""

__all__ = ["__version__"]

__version__ = "0.1.0"
