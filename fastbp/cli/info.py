"""``python -m fastbp info``: what is installed here."""

import platform
from importlib.metadata import version

from fastbp import __version__
from fastbp.backends.device import describe_gpu

__all__ = ["describe_cache", "info"]


def info() -> None:
    """Print versions, what the processor offers, and where compiled code is kept."""
    import joblib

    from fastbp.machine.chip import chip

    cpu = chip()
    facts = {"fastbp": __version__, "Python": platform.python_version()}
    for package in ("numpy", "scipy", "scikit-learn", "numba", "llvmlite"):
        facts[package] = version(package)
    facts["CPU"] = f"{cpu.name} ({platform.machine()})"
    facts["vectors"] = f"{cpu.vector_bits} bits"
    facts["FMA"] = "yes" if cpu.fused else "no"
    facts["cores"] = f"{joblib.cpu_count()} for this process"
    facts["GPU"] = describe_gpu()
    facts["cache"] = describe_cache()
    for name, fact in facts.items():
        print(f"{name:13} {fact}")


def describe_cache() -> str:
    """Say where compiled code is kept, and how much there is."""
    from fastbp.machine.cache import cache_directory

    directory = cache_directory()
    if directory is None:
        return "none; every process compiles anew"
    sizes = [entry.stat().st_size for entry in directory.glob("*.nb?")]
    return f"{directory} ({len(sizes)} files, {sum(sizes):,} bytes)"
