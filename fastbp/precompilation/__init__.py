"""Compiling ahead what later fits would compile: `warmup`, and its table ``warmups``."""
