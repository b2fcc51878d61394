"""Anchors: how far every session had come, in a small file that is kept where the journal's writer cannot reach it."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec

from toolguard.core.frame import CHAIN_SIZE
from toolguard.errors import ToolguardError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

VERSION = 1


class AnchorError(ToolguardError, ValueError):
    """An anchor file cannot be read or written."""

    code = "anchor"


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """How far a session had come.

    Attributes:
        session: The session's id.
        records: How many records it had.
        chain: The chain's link of the last of them, in hexadecimal.
    """

    session: str
    records: int
    chain: str

    @property
    def pair(self) -> tuple[int, bytes]:
        """What :func:`toolguard.core.chain.verify` takes."""
        return self.records, bytes.fromhex(self.chain)


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    toolguard_anchors: int
    store: str


class AnchorFile:
    """Writes anchors, one JSON object a line, and puts the file in place when all of them are there.

    Args:
        path: Where the file goes.
        store: The store's name, for people.
    """

    def __init__(self, path: str | os.PathLike[str], store: str) -> None:
        self._path = Path(path)
        self._store = store
        self._encoder = msgspec.json.Encoder()
        self._part = Path()
        self._dropped = False

    def __enter__(self) -> Self:
        """Begin a new file beside the old one."""
        try:
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
        except OSError as error:
            raise self._failed(error) from error
        self._part = Path(name)
        self._file = os.fdopen(handle, "wb")
        self._line(_Head(toolguard_anchors=VERSION, store=self._store))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the file in place, or, after an error, take it away."""
        if kind is not None or self._dropped:
            self._drop()
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._path)
        except OSError as problem:
            self._drop()
            raise self._failed(problem) from problem

    def add(self, anchor: Anchor) -> None:
        """Write one anchor."""
        self._line(anchor)

    def discard(self) -> None:
        """Leave the old file in its place after all."""
        self._dropped = True

    def _line(self, value: msgspec.Struct) -> None:
        try:
            self._file.write(self._encoder.encode(value) + b"\n")
        except OSError as error:
            raise self._failed(error) from error

    def _drop(self) -> None:
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> AnchorError:
        return AnchorError(
            f"{self._path} cannot be written: {error.strerror or error}", advice="Name a file in a place that can be."
        )


def read_anchors(path: str | os.PathLike[str]) -> dict[str, Anchor]:
    """Read an anchor file.

    Raises:
        AnchorError: It cannot be read, or is no anchor file.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise AnchorError(
            f"{path} cannot be read: {error.strerror or error}",
            advice="Name a file that `toolguard verify --write-anchor` wrote.",
        ) from error
    try:
        head = msgspec.json.decode(lines[0] if lines else b"", type=_Head)
        anchors = _decoded(lines[1:])
    except (msgspec.MsgspecError, ValueError) as error:
        raise AnchorError(
            f"{path} is no anchor file, or was changed: {error}",
            advice="Name a file that `toolguard verify --write-anchor` wrote.",
        ) from error
    if head.toolguard_anchors > VERSION:
        raise AnchorError(f"{path} is of a newer version", advice="Update toolguard-voice.")
    return {anchor.session: anchor for anchor in anchors}


def _decoded(lines: Iterable[bytes]) -> list[Anchor]:
    decoder = msgspec.json.Decoder(Anchor)
    anchors = [decoder.decode(line) for line in lines]
    for anchor in anchors:
        if len(anchor.pair[1]) != CHAIN_SIZE or anchor.records < 0:
            raise ValueError(f"the anchor of {anchor.session} is cut short")
    return anchors
