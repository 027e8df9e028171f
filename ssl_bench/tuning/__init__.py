"""Every row at its own best: configurations of all methods, tried alike and chosen on validation cases."""
