"""Worker processes, one for each device slot, and who deals cells to them."""
