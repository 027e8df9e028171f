"""Scores of predictions: one row per case, one column per foreground class."""
