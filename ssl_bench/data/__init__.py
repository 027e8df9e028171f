"""Volumes: grown or read from folders, prepared once into memory-mapped arrays, split, and guarded against leaks."""
