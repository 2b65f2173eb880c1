"""What the tests of the GPU's kernels share and pytest gives them."""

import pytest


@pytest.fixture(params=["shared", "device"])
def memory(request, monkeypatch):
    """Tiles and weights in the chip's shared memory, or where they do not fit there."""
    from fastbp.backends.gpu import tiling
    from helpers.gpu_cases import keep_weights_in_device_memory

    if request.param == "device":
        monkeypatch.setattr(tiling, "_bytes_of_a_tile", lambda *_: 10**9)
        keep_weights_in_device_memory(monkeypatch)
    return request.param
