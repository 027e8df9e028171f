"""Evaluation protocols: one version a file, ``linear_v1.py`` holds ``linear-v1``."""
