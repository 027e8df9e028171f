"""Records that leave their machine: bundles, and what can be recomputed of one without its data and networks."""
