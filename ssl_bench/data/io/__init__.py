"""Scans as they lie on disk, in any format and orientation, and their way to the network's grid."""
