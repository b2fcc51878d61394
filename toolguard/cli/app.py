"""What all commands share: the group that turns every error into one line, the common options, the printing."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
import typer
from typer.core import TyperGroup

from toolguard.audit.plain import plain
from toolguard.core.records import UnknownRecord, encodable
from toolguard.errors import ToolguardError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

T = TypeVar("T")
FINDINGS = 1
"""Exit code: the command did its work and found something wrong."""
BAD_USE = 2
"""Exit code: the command could not do its work."""

StoreOption = Annotated[
    str,
    typer.Option("--store", envvar="TOOLGUARD_STORE", help="The journal's directory.", show_default="./journal"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
AppOption = Annotated[str, typer.Option("--app", metavar="MODULE:GUARD", help="The application's guard.")]
ByOption = Annotated[str, typer.Option("--by", help="Your name; it goes into the journal.")]
PLACE = "journal"


class BadUse(ToolguardError):  # noqa: N818 - named for what happened, as all our errors
    """The command was used in a way that cannot be right."""

    code = "bad_use"


class OneLine(TyperGroup):
    """A group of commands whose errors are one line each, without a traceback."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line.

        Raises:
            SystemExit: With the command's exit code, in standalone mode.
        """
        try:
            code = super().main(
                args, prog_name, complete_var, standalone_mode=False, windows_expand_args=windows_expand_args, **extra
            )
        except (ToolguardError, UnknownRecord) as error:
            code = _failed(error)
        except typer.Abort:
            code = _say("[aborted] stopped before its end.", 130)
        except BrokenPipeError:
            sys.stderr.close()
            code = FINDINGS
        except Exception as error:
            message = getattr(error, "format_message", None)  # typer's own complaints, wherever they are defined
            if message is None and os.environ.get("TOOLGUARD_DEBUG"):
                raise
            what = f"[bad_use] {message()}" if message else f"[fault] {type(error).__name__}: {error}."
            advice = "See --help." if message else "This is a fault of toolguard; TOOLGUARD_DEBUG=1 shows where."
            code = _say(f"{what} {advice}", BAD_USE)
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)


def _failed(error: ToolguardError | UnknownRecord) -> int:
    text = str(error) if isinstance(error, ToolguardError) else f"[unknown_record] {error}"
    return _say(text, BAD_USE)


def _say(text: str, code: int) -> int:
    typer.echo(plain(text.strip()), err=True)
    return code


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end."""
    return asyncio.run(work)


def emit(value: Any) -> None:
    """Print one JSON object on a line of its own; everything but ASCII is escaped, so that it is safe to show."""
    text = msgspec.json.encode(value, enc_hook=encodable).decode()
    typer.echo("".join(c if c.isascii() and c.isprintable() else _escape(c) for c in text))


def say(text: str) -> None:
    """Print one line; whatever strangers put into it cannot move the cursor."""
    typer.echo(plain(text))


def _escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i] << 8 | units[i + 1]:04x}" for i in range(0, len(units), 2))
