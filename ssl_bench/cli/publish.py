"""``publish``: a pre-trained backbone out, as a folder or a repository that others can load."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ssl_bench.cli import options
from ssl_bench.cli.planning import warn
from ssl_bench.cli.reproduce import full_key
from ssl_bench.errors import UserError

if TYPE_CHECKING:
    from ssl_bench.report.model_card import Statement
    from ssl_bench.spec.record import PretrainingRecord
    from ssl_bench.store.store import Store


def publish(
    key: Annotated[str, typer.Argument(help="A pre-training, or an evaluation that rests on it; or its first digits.")],
    to: Annotated[str, typer.Option(metavar="DIR|hf:ORG/NAME", help="A folder, or a repository of a hub.")],
    licence: Annotated[
        str, typer.Option(metavar="NAME", help="Of the weights, as hubs name it, such as cc-by-4.0; else none stated.")
    ] = "",
    data_licence: Annotated[str, typer.Option(metavar="TEXT", help="Of the volumes that it was pre-trained on.")] = "",
    trained_on: options.TrainedOn = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the four files of this command that are there.")
    ] = False,
    results: options.Results = None,
) -> None:
    """Write a pre-trained backbone with a card: model.safetensors, README.md, config.json, record.json.

    The card says the method, the corpus, the licences, the record, the scores of this store with intervals, and how to
    load it in three lines. To a hub it goes with the user's own token.

    Example: ssl-bench publish 9f2c --to gvsl-small --licence cc-by-4.0
    """
    from ssl_bench.report.model_card import Statement
    from ssl_bench.store.store import Store, results_folder
    from ssl_bench.weights.hub import check_free, is_address, upload
    from ssl_bench.weights.trained_on import made_with

    store = Store(results_folder(results))
    record = _pretraining(store, full_key(store, key))
    named = made_with(record.spec, tuple(filter(None, map(str.strip, trained_on.split(",")))))
    if not named:
        warn("the card will not say what the weights were trained on; name the data sets with --trained-on")
    if not licence:
        warn("the card will state no licence of the weights, and whoever finds them may not use them; give --licence")
    said = Statement(licence, data_licence, named)
    if is_address(to):
        check_free(to, overwrite)
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), store, record, said)
            typer.echo(f"published: {upload(to, Path(folder), record.key)}")
        return
    with _folder(Path(to), overwrite) as folder:
        _write(folder, store, record, said)
    typer.echo(f"published: {to}")


def _pretraining(store: Store, key: str) -> PretrainingRecord:
    """The record of the pre-training `key`, or of the one that the evaluation `key` rests on.

    Raises UserError unless its weights are there and whole.
    """
    from ssl_bench.planning.reproduction import cell_of

    record = store.find_record(key)
    if record is not None and record.kind == "evaluation":
        below = cell_of(record).pretraining
        if below is None:
            raise UserError(f"cell {key}: rests on no pre-training of this store; publish what was pre-trained here")
        record = store.find_record(below.key)
    if record is None or record.kind != "pretraining":
        raise UserError(f"cell {key}: has no record of a pre-training; run it first with ssl-bench cell {key}")
    if not store.is_whole(record):
        raise UserError(f"cell {record.key}: its weights are gone; make them again with ssl-bench cell {record.key}")
    return record


def _write(folder: Path, store: Store, record: PretrainingRecord, said: Statement) -> None:
    """The four files, into an empty folder."""
    from ssl_bench.report.model_card import CARD, CONFIG, RECORD, WEIGHTS, model_card
    from ssl_bench.weights.origin import with_trained_on

    with_trained_on(store.backbone_path(record.key), folder / WEIGHTS, said.trained_on)
    (folder / CARD).write_text(model_card(store, record, said), "utf-8")
    (folder / RECORD).write_text(record.model_dump_json(indent=1) + "\n", "utf-8")
    spec = record.spec
    config: dict[str, Any] = {
        "ssl_bench_key": record.key,
        "network": spec.network,
        "width": spec.width,
        "channels_in": spec.channels,
        "axes": "SAR",
        "method": spec.method,
        "pretrains": spec.pretrains,
        "trained_on": list(said.trained_on),
        "licence": said.licence,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n", "utf-8")


@contextmanager
def _folder(to: Path, overwrite: bool) -> Iterator[Path]:
    """A folder beside `to` that takes its place when the block ends well; what is else in `to` stays.

    Raises UserError where there is something, unless told to `overwrite`.
    """
    if to.exists() and not to.is_dir():
        raise UserError(f"--to {to}: is there and no folder; name another")
    if to.is_dir() and any(to.iterdir()) and not overwrite:
        raise UserError(f"--to {to}: is not empty; name another folder, or say --overwrite")
    if not to.parent.is_dir():
        raise UserError(f"--to {to}: its folder does not exist; make it first")
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{to.name}.", suffix=".partial", dir=to.parent))
    except OSError as error:
        raise UserError(f"--to {to}: cannot be written ({error.strerror}); name another folder") from error
    try:
        yield made
        made.chmod(0o755)
        if to.is_dir() and any(to.iterdir()):
            for file in sorted(made.iterdir()):
                file.replace(to / file.name)
        else:
            made.replace(to)
    finally:
        shutil.rmtree(made, ignore_errors=True)
