"""Where everything is kept that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """``$SSL_BENCH_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("SSL_BENCH_CACHE") or platformdirs.user_cache_dir("ssl-bench"))
