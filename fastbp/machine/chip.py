"""What chip this is, as the compiler sees it; the compiler is imported when it is asked."""

from typing import NamedTuple

__all__ = ["VECTOR_BYTES", "Chip", "chip", "has_avx512", "max_accumulators"]

#: Bytes of a vector (see ``simd.py``), on every chip: the order of sums does not depend on it.
VECTOR_BYTES = 64


class Chip(NamedTuple):
    """The processor that code is compiled for.

    Attributes
    ----------
    name : str
        LLVM's name of it.
    vector_bits : int
        Width of its widest vector registers.
    fused : bool
        Whether it multiplies and adds in one instruction.
    """

    name: str
    vector_bits: int
    fused: bool


def chip() -> Chip:
    """Describe the processor of this machine."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        bits = 512
    elif features.get("avx"):
        bits = 256
    else:
        bits = 128
    return Chip(llvm.get_host_cpu_name(), bits, bool(features.get("fma") or features.get("neon")))


def has_avx512() -> bool:
    """Whether code is compiled for a chip whose registers hold a whole vector, 32 of them."""
    from numba.core import config

    return chip().vector_bits == 512 and not (config.CPU_NAME or config.CPU_FEATURES)


def max_accumulators() -> int:
    """How many vectors a loop may sum into at once and keep all of them in registers."""
    return 16 if has_avx512() else 4
