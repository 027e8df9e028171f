"""Where plans, records, weights, leases and examples are kept: plain files."""
