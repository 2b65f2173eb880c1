"""What the machine offers: the compiler, its cache, the chip, threads. Knows no neural network."""

import time

__all__ = ["IMPORTED_AT"]

#: When fastbp was imported: code of sources that are younger is not that of this process.
IMPORTED_AT = time.time()
