"""Files that hold numbers and text, and nothing that is executed; knows no neural network."""
