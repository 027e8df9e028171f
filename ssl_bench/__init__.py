"""ssl-bench: self-supervised learning methods for 3D medical images, compared on equal terms."""

__version__ = "0.1.0"
