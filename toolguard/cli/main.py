"""The command line: ``toolguard`` and ``python -m toolguard``."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from toolguard.cli import clash
from toolguard.cli.app import BadUse, OneLine
from toolguard.cli.audit import audit
from toolguard.cli.doctor import doctor
from toolguard.cli.recover import recover
from toolguard.cli.settle import pause, resolve, resume
from toolguard.cli.verify import verify

app = typer.Typer(
    name="toolguard",
    cls=OneLine,
    help="Tool calls that survive a live conversation: read the trail, settle what is in doubt, verify the journal.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (audit, verify, resolve, pause, resume, recover, doctor):
    app.command()(_command)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def demo(context: typer.Context) -> None:
    """Play two phone calls, one with a worker that is killed, to naive and guarded applications, and compare."""
    try:
        from toolguard.testing.demo import main as play  # noqa: PLC0415 -- needs what only the demo needs
    except ModuleNotFoundError as error:
        raise BadUse(
            f"the demo needs {error.name}", advice="Install it with: pip install 'toolguard-voice[testing]'."
        ) from error
    raise typer.Exit(play(context.args))


def _version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        version = metadata.version(clash.OURS)
    except metadata.PackageNotFoundError:
        version = "not installed"
    typer.echo(f"{clash.OURS} {version}")
    raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Tool calls that survive a live conversation: read the trail, settle what is in doubt, verify the journal."""


def main() -> None:
    """Run the command line."""
    app(prog_name="toolguard")
