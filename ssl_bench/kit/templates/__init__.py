"""Templates of ``ssl-bench new``."""
