"""Weights that others made: read as tensors, recognised by their names, and put into a network."""
