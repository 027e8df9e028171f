"""``submit`` and ``verify``: records out as one file, and what of such a file can be recomputed anywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssl_bench.cli import options
from ssl_bench.cli.planning import warn
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.submission.agreement import Reproduced
    from ssl_bench.submission.verifying import Verdict

TOLERANCE = 0.01
"""Of a score between 0 and 1; of errors in a unit of their own, so large a part of the larger."""


def submit(
    to: Annotated[Path, typer.Option(metavar="FILE.zip", help="The bundle to write.")],
    licence: Annotated[
        str, typer.Option(metavar="NAME", help="Of the records, such as CC-BY-4.0; else the bundle states none.")
    ] = "",
    by: Annotated[str, typer.Option(metavar="TEXT", help="Who answers for the records; else nobody is named.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle that is there.")] = False,
    results: options.Results = None,
) -> None:
    """Write every record of a results folder into one zip with a manifest: no images, no weights, no examples.

    It is verified before it takes its place; exit 1, and nothing is written, where it would be refused.

    Example: ssl-bench submit --to mine.zip --licence CC-BY-4.0 --by "A. Name, Institute"
    """
    from ssl_bench.files import atomic_write
    from ssl_bench.store.status import status_of
    from ssl_bench.store.store import Store, results_folder
    from ssl_bench.submission.bundling import write_bundle
    from ssl_bench.submission.verifying import verify

    folder = results_folder(results)
    if not folder.is_dir():
        raise UserError(f"--results {folder}: no such folder; run ssl-bench run first, or name another")
    if to.exists() and not overwrite:
        raise UserError(f"--to {to}: is there already; name another file, or say --overwrite")
    if not licence:
        warn("the bundle states no licence, and whoever finds it may not use its records; give --licence")
    store = Store(folder)
    if left := sum(cell.state != "done" for cell in status_of(store, {})):
        warn(f"{left} planned cells of {folder} have no record and are not in the bundle")
    with atomic_write(to) as temporary:
        write_bundle(store, temporary, by, licence)
        verdict = verify(temporary)._replace(place=str(to))
        if verdict.refusals:
            _print(verdict)
            raise typer.Exit(1)
    if any(record.spec.data and record.spec.data.is_real for record in verdict.records.values()):
        warn("records of your own data name its test cases, and files that were left out; look before you publish")
    typer.echo(_headline(verdict))


def verify(
    bundles: Annotated[list[Path], typer.Argument(help="Files of ssl-bench submit, or folders of unpacked ones.")],
    tolerance: Annotated[
        float, typer.Option(help="How far scores of one cell by two machines may lie apart.", min=0)
    ] = TOLERANCE,
    as_json: options.Json = False,
) -> None:
    """Recompute scores, keys, splits and versions of bundles, and name what nobody can vouch for. Exit 1 if refused.

    Of several bundles it says besides which rows another machine reproduced.

    Example: ssl-bench verify bundles/*.zip
    """
    from ssl_bench.submission.agreement import reproduced
    from ssl_bench.submission.finding import printable
    from ssl_bench.submission.verifying import verify as verified

    verdicts = [verified(path) for path in bundles]
    # What is refused reproduces nothing.
    rows = reproduced([verdict for verdict in verdicts if not verdict.refusals], tolerance)
    if as_json:
        typer.echo(json.dumps(_as_json(verdicts, rows), indent=1))
    else:
        for verdict in verdicts:
            _print(verdict)
        for row in rows:
            word = "reproduced" if row.agrees else "not reproduced"
            typer.echo(f"{word}: {printable(row.title)}: {row.runs} of {row.of} runs on another machine, at most "
                       f"{row.difference:.4f} apart (tolerance {tolerance:g})")  # fmt: skip
    if any(verdict.refusals for verdict in verdicts):
        raise typer.Exit(1)


def _print(verdict: Verdict) -> None:
    for reason in verdict.refusals:
        typer.echo(f"refused: {reason}")
    typer.echo(_headline(verdict))
    for reason in verdict.unvouched if not verdict.refusals else ():
        typer.echo(f"  cannot vouch for {reason}")


def _headline(verdict: Verdict) -> str:
    from ssl_bench.submission.finding import printable

    evaluations, manifest = len(verdict.evaluations), verdict.manifest
    held = f"{evaluations} evaluations, {len(verdict.records) - evaluations} pre-trainings"
    said = [f"by {manifest.by}" if manifest.by else "by nobody named", f"licence {manifest.licence or 'not stated'}"]
    ending = f"REFUSED for {len(verdict.refusals)} reasons" if verdict.refusals else "what can be recomputed agrees"
    return printable(f"{verdict.place}: {held}, {', '.join(said)}: {ending}")


def _as_json(verdicts: list[Verdict], rows: list[Reproduced]) -> dict[str, Any]:
    found = [
        {
            "bundle": verdict.place,
            "by": verdict.manifest.by,
            "licence": verdict.manifest.licence,
            "summary": verdict.manifest.summary.model_dump(mode="json"),
            "refused": verdict.refusals,
            "cannot_vouch_for": verdict.unvouched,
        }
        for verdict in verdicts
    ]
    return {"bundles": found, "rows": [row._asdict() for row in rows]}
