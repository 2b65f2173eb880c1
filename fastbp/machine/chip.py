"""What chip this is, as the compiler sees it."""

from typing import NamedTuple

import llvmlite.binding as llvm

__all__ = ["Chip", "chip"]


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
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        bits = 512
    elif features.get("avx"):
        bits = 256
    else:
        bits = 128
    return Chip(llvm.get_host_cpu_name(), bits, bool(features.get("fma") or features.get("neon")))
