"""The GPU: imported only when it was asked for (``backends/device.py``)."""
