"""Stand-ins for a cluster's commands, as old as SLURM 14: they refuse what it did not know."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

SBATCH = r"""#!/bin/bash
file="${@: -1}"
refuse() { echo "sbatch: error: $1" >&2; exit 1; }
options=$(grep '^#SBATCH' "$file")
grep -qE -e '--(gpus|gpus-per-[a-z]+|mem-per-gpu|cpus-per-gpu|wckey)=' <<<"$options" && refuse "unrecognized option"
[ $(grep -cE -e '--mem(-per-cpu)?=' <<<"$options") -gt 1 ] && refuse "--mem and --mem-per-cpu are mutually exclusive"
[ -n "$FORBIDS_MEM" ] && grep -q -e '--mem=' <<<"$options" && refuse "--mem is not allowed here"
last=$(sed -n 's/^#SBATCH --array=0-\([0-9]*\).*/\1/p' "$file")
[ "${last:-0}" -ge "${LIMIT:-100}" ] && refuse "Batch job submission failed: Invalid job array specification"
number=$((1001 + $(ls FOLDER | wc -l)))
cat "$file" >FOLDER/$number
echo "Submitted batch job $number"
"""
SQUEUE = r"""#!/bin/bash
for option in "$@"; do
    case "$option" in
        --noheader | --array | --user=[0-9]* | --format=*) ;;
        *) echo "squeue: unrecognized option '$option'" >&2; exit 1 ;;
    esac
done
[ -z "$SQUEUE_STATES" ] || exit 0
cat QUEUE 2>/dev/null
exit 0
"""
SCONTROL = r"""#!/bin/bash
echo "Configuration data as of 2014-11-27T18:23:03"
echo "MaxArraySize            = 100"
"""


class Site(NamedTuple):
    """A cluster's commands on PATH."""

    commands: Path
    folder: Path
    queue: Path
    """What `squeue` lists."""

    @property
    def scripts(self) -> list[str]:
        """What `sbatch` took, in order."""
        return [path.read_text() for path in sorted(self.folder.iterdir())]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    commands, folder, queue = tmp_path / "bin", tmp_path / "submitted", tmp_path / "queue"
    commands.mkdir()
    folder.mkdir()
    texts = {"sbatch": SBATCH, "squeue": SQUEUE, "scontrol": SCONTROL, "srun": "#!/bin/bash\n"}
    for name, text in texts.items():
        (commands / name).write_text(text.replace("FOLDER", str(folder)).replace("QUEUE ", f"{queue} "))
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    return Site(commands, folder, queue)


def options(script: str) -> dict[str, str]:
    """What a file asks `sbatch` for; each option once."""
    found: Sequence[tuple[str, str]] = re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", script, re.MULTILINE)
    assert len(dict(found)) == len(found), found
    return dict(found)
