"""How fast ssl-bench is, as ratios measured in one run; ``python -m benchmarks --help``."""
