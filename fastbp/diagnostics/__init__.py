"""What a point of the error surface is, and whether the gradient is right, over any objective."""
