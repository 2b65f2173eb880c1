"""``python -m fastbp info`` and `show_versions`: what is installed here."""

import platform
from importlib.metadata import PackageNotFoundError, version

from fastbp.backends.device import describe_gpu
from fastbp.version import __version__

__all__ = ["describe_cache", "show_versions"]

_NEEDED = ("numpy", "scipy", "scikit-learn", "numba", "llvmlite")
_EXTRAS = ("matplotlib", "numba-cuda", "onnx", "pandas", "rich", "skl2onnx")


def show_versions() -> None:
    """Print versions, what the processor offers, and where compiled code is kept.

    It is what a report of a problem should begin with. ``python -m fastbp info`` prints the same.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.show_versions()  # doctest: +ELLIPSIS
    fastbp        ...
    Python        ...
    """
    import joblib

    from fastbp.machine.chip import chip

    cpu = chip()
    facts = {"fastbp": __version__, "Python": platform.python_version()}
    for package in (*_NEEDED, *_EXTRAS):
        facts[package] = _version_of(package)
    facts["CPU"] = f"{cpu.name} ({platform.machine()})"
    facts["vectors"] = f"{cpu.vector_bits} bits"
    facts["FMA"] = "yes" if cpu.fused else "no"
    facts["cores"] = f"{joblib.cpu_count()} for this process"
    facts["GPU"] = describe_gpu()
    facts["cache"] = describe_cache()
    for name, fact in facts.items():
        print(f"{name:13} {fact}")


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def describe_cache() -> str:
    """Say where compiled code is kept, and how much there is."""
    from fastbp.machine.cache import cache_directory

    directory = cache_directory()
    if directory is None:
        return "none; every process compiles anew"
    sizes = [entry.stat().st_size for entry in directory.glob("*.nb?")]
    return f"{directory} ({len(sizes)} files, {sum(sizes):,} bytes)"
