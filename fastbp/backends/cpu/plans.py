"""Layouts and workspaces with their plans, which kernels take in their place (``views.py``)."""

from functools import lru_cache
from typing import Any

import numpy as np

from fastbp.backends.cpu import load_kernels
from fastbp.backends.cpu.layout import Layout, layout_of
from fastbp.model.network import Network

__all__ = ["planned_layout_of", "planned_workspace"]


@lru_cache(maxsize=64)
def planned_layout_of(
    network: Network, dtype: np.dtype, for_training: bool = True
) -> tuple[Layout, Any]:
    """Give a layout and its plan, which is valid as long as the layout is kept."""
    layout = layout_of(network, dtype, for_training)
    return layout, load_kernels().write_plan(layout)


def planned_workspace(layout: Layout, dtype: np.dtype) -> tuple[Any, Any]:
    """Make a workspace and its plan, which is valid as long as the workspace is kept."""
    kernels = load_kernels()
    workspace = kernels.make_workspace(layout, dtype)
    return workspace, kernels.write_plan(workspace)
