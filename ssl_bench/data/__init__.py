"""Real data: what a folder holds, prepared once into memory-mapped arrays, split, and guarded against leaks."""
