"""The version and the site: here alone, for the package, its pickles and ``pyproject.toml``."""

__all__ = ["SITE", "__version__", "guide"]

__version__ = "0.1.0"

#: Where the documentation is published; ``pyproject.toml`` says the same.
SITE = "https://fastbp.github.io/fastbp"


def guide(page: str) -> str:
    """Say where a guide tells more, for the end of a message."""
    return f"See {SITE}/guide/{page}.html."
