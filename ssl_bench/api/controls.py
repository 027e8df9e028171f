"""The names of controls: rows that need no network, beside which those of backbones are read. Imports no torch."""

from __future__ import annotations

from typing import Literal, get_args

Control = Literal["", "position", "patches", "mind", "identity", "truth"]
"""What stands in for a backbone's features, see `ssl_bench.protocols.geometry.controls`; empty for the backbone."""
CONTROL_PREFIX = "control:"
CONTROL_ROWS: dict[str, Control] = {f"{CONTROL_PREFIX}{name}": name for name in get_args(Control) if name}
"""Controls by what their rows are called."""
