"""The CPU: its objective, its epochs, its forward pass; the compiled code is in ``kernels/``.

``kernels`` is imported at the first use and not before: ``import fastbp`` loads no compiler.
"""
