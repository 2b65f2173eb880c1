"""What the machine offers: the compiler, its cache, the chip, threads. Knows no neural network."""
