"""One file for each layout in which weights are published: how it is recognised, whose it is, its tensors by our names.

A reader is a function ``read(path, contents)`` that gives the networks of its layout which begin in a file, whole or
not; none for a file of another layout. The layouts are written from public descriptions.
"""
