"""What folders hold: the layouts of data sets as they lie on disk."""
