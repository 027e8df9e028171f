"""Cells: what one is (science), how it is planned, how it ends (record), and where that is kept (store)."""
