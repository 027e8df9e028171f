"""``reproduce``: the plan, the command and the environment of a cell."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssl_bench.cli import options
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.planning.reproduction import Reproduction
    from ssl_bench.store.store import Store

REQUIREMENT = r"[A-Za-z0-9][\w.-]*==[\w.+!-]+"
RESULTS = "reproduced"
"""A folder of its own: a cell that is in the store returns at once."""


def reproduce(
    key: Annotated[str, typer.Argument(help="A cell of the store, or the first digits of its key.")],
    results: options.Results = None,
    as_json: options.Json = False,
) -> None:
    """Print, as a shell script, how to run a cell again: installation, commit, plan, command, where bits may differ.

    Example: ssl-bench reproduce 640647c7e0aa4d18 > again.sh
    """
    from ssl_bench.planning.reproduction import cell_of, reproduction_of
    from ssl_bench.store.store import Store, results_folder

    store = Store(results_folder(results))
    key = full_key(store, key)
    cell, record = store.find_plan(key), store.find_record(key)
    made = cell is None and record is not None
    if record is not None:
        cell = cell or cell_of(record)
    if cell is None:
        raise UserError(f"cell {key}: neither its plan nor its record reads; plan it again with ssl-bench run")
    last = record or store.last_failure(cell)
    ran = last.provenance if last else {}
    found = reproduction_of(cell, ran, store.record(cell.pretraining) if cell.pretraining else None)
    if made:
        found.caveats.append("No plan of it is here that reads: this one is made from its record, without paths.")
    if as_json:
        answer = {"key": key, "title": cell.title, "ran": ran, **found._asdict()}
        typer.echo(json.dumps(answer | {"cells": [each.model_dump(mode="json") for each in found.cells]}, indent=1))
    else:
        typer.echo(script(found, ran, str(store.folder)), nl=False)


def full_key(store: Store, prefix: str) -> str:
    """The one key in `store` that begins with `prefix`. Raises UserError for anything but a prefix of one key."""
    if not re.fullmatch("[0-9a-f]{1,16}", prefix):
        raise UserError(f"cell {prefix!r}: a key is 16 hexadecimal digits, or the first of them; see ssl-bench status")
    keys = store.keys(prefix)
    if not keys:
        raise UserError(f"cell {prefix}: neither planned nor run in {store.folder}; see ssl-bench status, or --results")
    if len(keys) > 1:
        raise UserError(f"cell {prefix}: {len(keys)} keys begin so, such as {', '.join(keys[:3])}; give more digits")
    return keys[0]


def script(found: Reproduction, ran: dict[str, Any], results: str) -> str:
    """`found` as a shell script, what is to be known in comments."""
    from ssl_bench.planning.reproduction import versions_of

    cell, versions = found.cells[-1], versions_of(ran)
    told = [f"{name} {ran[name]}" for name in ran if name not in ("versions", "commit") and ran[name] not in ("", None)]
    comments = [f"{cell.title}  [{cell.key}]", *([f"ran: {', '.join(told)}"] if told else []), *found.caveats]
    comments += [f"Python {versions['python']}"] if "python" in versions else []
    lines = ["# " + "".join(each if each.isprintable() else " " for each in comment) for comment in comments]
    # Records come from anywhere: what is no version could be an option of pip or an address.
    wanted = {name: f"{name}=={version}" for name, version in versions.items() if name != "python"}
    wanted = {name: text for name, text in wanted.items() if re.fullmatch(REQUIREMENT, text)}
    own = wanted.pop("ssl-bench", None)
    lines += [f"pip install {' '.join(map(quoted, wanted.values()))}"] if wanted else []
    commit = str(ran.get("commit")).removesuffix("+changes")
    if re.fullmatch(r"[0-9a-f]{7,40}", commit):
        lines.append(f"git checkout {commit} && pip install -e .  # in a clone of ssl-bench")
    elif own:
        lines.append(f"pip install {quoted(own)}")
    lines.append(f"mkdir -p {RESULTS}/cells")
    for planned, chosen in zip(found.cells, found.options, strict=True):
        # JSON of printable ASCII, of which no line is END: between quoted ENDs a shell reads text alone.
        plan = json.dumps(planned.model_dump(mode="json"), indent=1)
        lines += [f"cat > {RESULTS}/cells/{planned.key}.json <<'END'", plan, "END"]
        lines.append(" ".join(map(quoted, ["ssl-bench", "cell", planned.key, *chosen, "--results", RESULTS])))
    # Tables hold neither snapshots nor trials.
    if cell.kind == "evaluation" and cell.evaluation.snapshot is None and cell.evaluation.scored_on == "test":
        lines.append(f"ssl-bench report --compare {quoted(results)} {RESULTS}")
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """`text` as one word of any shell. Raises UserError for characters that a terminal would obey."""
    if not text.isprintable():
        raise UserError(f"{text!r}: holds characters that no command should; read the cell's record instead")
    return shlex.quote(text)
