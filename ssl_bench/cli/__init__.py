"""The command line. Nothing here imports torch before a command needs it."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from ssl_bench import __version__
from ssl_bench.cli import (
    backbones,
    data,
    listings,
    matrix,
    plugins,
    publish,
    report,
    reproduce,
    run,
    status,
    submission,
    tune,
)
from ssl_bench.errors import UserError
from ssl_bench.training.attempt import Stopped

app = typer.Typer(
    name="ssl-bench",
    help="Self-supervised learning methods for 3D medical images, compared on equal terms.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("matrix")(matrix.matrix)
app.command("tune")(tune.tune)
app.command("cell")(run.cell)
app.command("pretrain")(backbones.pretrain)
app.command("evaluate")(backbones.evaluate)
app.command("publish")(publish.publish)
app.command("submit")(submission.submit)
app.command("verify")(submission.verify)
app.command("status")(status.status)
app.command("report")(report.report)
app.command("reproduce")(reproduce.reproduce)
app.command("methods")(listings.methods)
app.command("tasks")(listings.tasks)
app.command("protocols")(listings.protocols)
app.command("backbones")(listings.backbones)
app.command("executors")(listings.executors)
app.command("new")(plugins.new)
app.command("check")(plugins.check)
app.add_typer(data.app, name="data")


# Typer has used click and, later, a copy of it inside: the base class of its usage errors is found, not named.
_UsageError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def main() -> None:
    """The entry point. Exit 0: done; 1: some cell failed; 2: the input is wrong, said in one line on stderr."""
    debug = "--debug" in sys.argv
    if debug:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("ssl_bench").setLevel(logging.DEBUG)
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        code = app(arguments or ["--help"], standalone_mode=False)
    except (UserError, _UsageError) as error:
        if debug:
            raise
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        hint = "" if isinstance(error, UserError) else "; see ssl-bench --help"
        line = " ".join(message.split())
        sys.stderr.write(f"ssl-bench: {line.removesuffix('.') if hint else line}{hint}\n")
        code = 2
    except (typer.Abort, KeyboardInterrupt, Stopped):
        sys.stderr.write("ssl-bench: interrupted; the same command goes on where it stopped\n")
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ssl-bench {__version__}")
        raise typer.Exit


@app.callback()
def root(
    # Told by a callback of the option: the group's own runs only where a command is named.
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the tracebacks of errors and failures.")] = False,
) -> None:
    """Self-supervised learning methods for 3D medical images, compared on equal terms."""
