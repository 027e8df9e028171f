"""Layers and kernels for processors, each equal to PyTorch's own and faster or right where that is not."""
