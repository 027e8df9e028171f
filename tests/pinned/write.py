"""Pin the numbers of today: ``python -m tests.pinned.write``.

Refuses where numbers changed and their version did not, and says which to raise. ``--anyway`` pins those too: for a
change that cannot reach any cell, or one of which the version was raised since the last release for another reason.
"""

from __future__ import annotations

import json
import sys

import torch

from tests.pinned.entries import FILE, complaint, entries, read_pinned


def main() -> int:
    """Measure, compare, write."""
    torch.set_num_threads(1)
    kept, made, refused = read_pinned(), {}, []
    for name, entry in entries().items():
        values = entry.measure()
        before = kept.get(name)
        if before is not None and before["version"] == entry.version:
            found = complaint(name, entry, values, before)
            refused += [found] if found else []
            # What did not change keeps its digits, whichever processor measures it again.
            made[name] = before if not found else {"version": entry.version, "values": values}
        else:
            made[name] = {"version": entry.version, "values": values}
    if refused and "--anyway" not in sys.argv:
        print("\n".join([*refused, "nothing written; --anyway pins them as they are"]), file=sys.stderr)  # noqa: T201
        return 1
    lines = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(made.items())]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    print(f"{FILE}: {len(made)} pinned")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
