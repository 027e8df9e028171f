"""``reproduce``: the command and the environment of a cell."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from ssl_bench.cli import options
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.planning.reproduction import Reproduction
    from ssl_bench.spec.cell import Cell
    from ssl_bench.spec.record import AnyRecord
    from ssl_bench.store.store import Store


REQUIREMENT = r"[A-Za-z0-9][\w.-]*==[\w.+!-]+"


def reproduce(
    key: Annotated[str, typer.Argument(help="A cell of the store, or the first digits of its key.")],
    results: options.Results = None,
    as_json: options.Json = False,
) -> None:
    """Print, as a shell script, how to run a cell again: installation, commit, command, and where bits may differ.

    Example: ssl-bench reproduce 5e51c81feb3b8a2f > again.sh
    """
    from ssl_bench.planning.reproduction import reproduction_of
    from ssl_bench.store.store import Store, results_folder

    store = Store(results_folder(results))
    cell, record, planned = find_cell(store, key)
    pretraining = store.record(cell.pretraining) if cell.pretraining else None
    found = reproduction_of(cell, record or store.last_failure(cell), pretraining, planned)
    typer.echo(found.model_dump_json(indent=1) if as_json else script(found, str(store.folder)), nl=as_json)


def find_cell(store: Store, prefix: str) -> tuple[Cell, AnyRecord | None, bool]:
    """The one cell whose key begins with `prefix`, its success, and whether its plan is here.

    Raises UserError for anything but a prefix of one key.
    """
    from ssl_bench.spec.cell import Cell

    if not re.fullmatch("[0-9a-f]{1,16}", prefix):
        raise UserError(f"cell {prefix!r}: a key is 16 hexadecimal digits, or the first of them; see ssl-bench status")
    keys = store.keys(prefix)
    if not keys:
        raise UserError(f"cell {prefix}: neither planned nor run in {store.folder}; see ssl-bench status, or --results")
    if len(keys) > 1:
        raise UserError(f"cell {prefix}: {len(keys)} keys begin so, such as {', '.join(keys[:3])}; give more digits")
    cell, record = store.find_plan(keys[0]), store.find_record(keys[0])
    if cell is not None:
        return cell, record, True
    if record is None:
        raise UserError(f"cell {keys[0]}: neither its plan nor its record reads; plan it again with ssl-bench run")
    return Cell(kind=record.kind, spec=record.spec, setting=record.setting), record, False


def script(found: Reproduction, results: str) -> str:
    """`found` as a shell script, what is to be known in comments."""
    environment = {name: value for name, value in found.environment.items() if value not in ("", None)}
    lines = [f"# {found.title}  [{found.key}]"]
    if environment:
        lines.append(f"# ran: {', '.join(f'{name} {value}' for name, value in environment.items())}")
    lines += [f"# {caveat}" for caveat in found.caveats]
    lines = [_one_line(line) for line in lines]
    versions = dict(found.versions)
    if python := versions.pop("python", None):
        lines.append(_one_line(f"# Python {python}"))
    version = versions.pop("ssl-bench", None)
    # Records come from anywhere: what is no version could be an option of pip or an address.
    wanted = [f"{name}=={value}" for name, value in versions.items() if re.fullmatch(REQUIREMENT, f"{name}=={value}")]
    if wanted:
        lines.append(f"pip install {' '.join(map(quoted, wanted))}")
    commit = (found.commit or "").removesuffix("+changes")
    if re.fullmatch(r"[0-9a-f]{7,40}", commit):
        lines.append(f"git checkout {commit} && pip install -e .  # in a clone of ssl-bench")
    elif version and re.fullmatch(REQUIREMENT, f"ssl-bench=={version}"):
        lines.append(f"pip install {quoted(f'ssl-bench=={version}')}")
    for command in filter(None, (found.pretraining_command, found.command)):
        lines.append(" ".join(map(quoted, ["ssl-bench", *command])))
    if found.command[0] != "pretrain":
        lines.append(f"ssl-bench report --compare {quoted(results)} {quoted(found.command[-1])}")
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """`text` as one word of any shell. Raises UserError for characters that a terminal would obey."""
    if not text.isprintable():
        raise UserError(f"{text!r}: holds characters that no command should; read the cell's record instead")
    return shlex.quote(text)


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
