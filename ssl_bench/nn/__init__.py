"""What networks and losses are made of."""
