"""A fitted network, elsewhere: as ONNX, C, NumPy source, or a compiled function of one sample.

``fitted`` is what every writer reads, ``trace`` runs an activation once on a symbol, ``text``
writes down the operations it was found to be made of. ``kernels`` alone imports a compiler.
"""
