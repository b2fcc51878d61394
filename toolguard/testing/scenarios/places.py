"""Where plays keep their journals: in memory, in a folder, or on a server that is started for them."""

from __future__ import annotations

import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from types import TracebackType

Kind = Literal["memory", "disk", "redis", "postgres"]
KINDS: tuple[Kind, ...] = ("memory", "disk", "redis", "postgres")
"""The stores that scenarios are played on."""


class Places:
    """Gives every play a place of its own; a server is started with the first play that needs it.

    Args:
        kind: The kind of store.
    """

    def __init__(self, kind: Kind) -> None:
        self.kind: Kind = kind
        self._open = ExitStack()
        self._url = ""
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop the server, if one was started."""
        self._open.close()
        self._url = ""

    def new(self, folder: Path) -> str:
        """A place that nobody has used, as a guard takes it; ``folder`` is the play's own."""
        if self.kind == "memory":
            return "memory"
        if self.kind == "disk":
            return str(folder / "journal")
        url = self._server()
        name = f"play{next(self._numbers)}"
        joint = "&" if "?" in url else "?"
        return f"{url}{joint}prefix={name}" if self.kind == "redis" else f"{url}{joint}schema={name}"

    def _server(self) -> str:
        if not self._url:
            home = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="toolguard-server-")))
            if self.kind == "redis":
                from toolguard.testing.stores.valkey import valkey  # noqa: PLC0415 -- an extra

                self._url = self._open.enter_context(valkey(home)).url
            else:
                from toolguard.testing.stores.postgres import postgres  # noqa: PLC0415 -- an extra

                self._url = self._open.enter_context(postgres(home)).url
        return self._url
