"""What measures, checks that all compute the same, and writes tables."""
