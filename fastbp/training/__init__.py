"""One fit: from a `FitTask`, all checked and drawn, to a `FitResult`."""
