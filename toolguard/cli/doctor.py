"""``toolguard doctor``: whether this environment is fit for toolguard, and what its adapters can do."""

from __future__ import annotations

import importlib
import platform
import sqlite3
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import typer

import toolguard
from toolguard.cli import clash, show
from toolguard.cli.app import FINDINGS, PLACE, JsonOption, StoreOption, emit, run, say
from toolguard.cli.place import asking, reading
from toolguard.errors import ToolguardError
from toolguard.stores.disk import DiskStore
from toolguard.stores.locate import store_from

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from toolguard.stores.base import Store

_SOUND_WAL = (3, 51, 3)
_FRAMEWORKS = {
    "openai": "OpenAI Realtime",
    "openai-agents": "OpenAI Agents SDK",
    "livekit-agents": "LiveKit Agents",
    "pipecat-ai": "Pipecat",
    "vapi-server-sdk": "Vapi",
    "retell-sdk": "Retell",
}
MATRIX = "toolguard.adapters.matrix"
"""The module that holds the capability matrix: ``ROWS``, a sequence of mappings with the same keys in each row."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        what: What it is.
        state: ``ok``, ``note`` (know it) or ``problem`` (mend it).
        words: What was found, and what to do.
    """

    what: str
    state: Literal["ok", "note", "problem"]
    words: str


def doctor(store: StoreOption = PLACE, json: JsonOption = False) -> None:
    """Check Python, SQLite, the store, the frameworks, and whether another distribution owns our import name."""
    found = [_python(), _release(), _sqlite(), _clash(), *run(_store(store)), *_frameworks()]
    rows = matrix()
    if json:
        for one in found:
            emit(one)
        for row in rows:
            emit({"what": "capability", **row})
    else:
        for one in found:
            say(f"{one.state:<8} {one.what:<18} {one.words}")
        if rows:
            say("")
            show.table(rows[0].keys(), [[str(value) for value in row.values()] for row in rows])
    if any(one.state == "problem" for one in found):
        raise typer.Exit(FINDINGS)


def matrix() -> Sequence[Mapping[str, Any]]:
    """What the adapters of this release can do, a row each; empty where none says so."""
    try:
        module = importlib.import_module(MATRIX)
    except ModuleNotFoundError:
        return []
    rows: Sequence[Mapping[str, Any]] = module.ROWS
    return rows


def _python() -> Finding:
    return Finding(what="python", state="ok", words=f"{platform.python_implementation()} {platform.python_version()}")


def _release() -> Finding:
    place = Path(toolguard.__file__ or "").parent
    try:
        version = metadata.version(clash.OURS)
    except metadata.PackageNotFoundError:
        return Finding(what="toolguard", state="note", words=f"{place}, run from its sources without being installed")
    return Finding(what="toolguard", state="ok", words=f"{version} in {place}")


def _sqlite() -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= _SOUND_WAL:
        return Finding(what="sqlite", state="ok", words=version)
    words = (
        f"{version} can damage a WAL file when two programs write at once (mended in 3.51.3). Processes of toolguard "
        "are kept apart by the directory's lock; let no other program write to the journal."
    )
    return Finding(what="sqlite", state="note", words=words)


def _clash() -> Finding:
    folder = str(Path(toolguard.__file__ or "").parent)
    wrong = clash.mixed(folder) or clash.installed()
    return Finding(what="import name", state="problem" if wrong else "ok", words=wrong or "ours alone")


async def _store(place: str) -> list[Finding]:
    try:
        store = store_from(place)
        if isinstance(store, DiskStore) and not (store.path / "journal.sqlite3").exists():
            return [Finding(what="store", state="note", words=f"there is no journal in {store.path} yet")]
        return await _health(reading(place))
    except ToolguardError as error:
        return [Finding(what="store", state="problem", words=str(error))]


async def _health(store: Store) -> list[Finding]:
    async with asking(store) as journal:
        return await journal.ask(_look)


def _look(store: Store) -> list[Finding]:
    count = records = orphans = 0
    after = ""
    while page := store.sessions(after=after):
        for row in page:
            count, records = count + 1, records + row.seq
            orphans += row.state == "open" and not (row.owner and store.alive(row.owner))
        after = page[-1].session
    doubtful = store.open_calls(phase="in_doubt", limit=1000)
    paused = [name.removeprefix("paused/") for name in store.notes("paused/")]
    found = [Finding(what="store", state="ok", words=f"{store.name}: {count} sessions, {records} records")]
    found.extend(Finding(what="weak store", state="note", words=sentence) for sentence in store.weak())
    if orphans:
        words = f"{orphans} open sessions have no living owner: toolguard recover --all --app module:guard"
        found.append(Finding(what="open sessions", state="note", words=words))
    if doubtful:
        words = f"{len(doubtful)} calls need a probe or a person: toolguard audit --phase in_doubt"
        found.append(Finding(what="in doubt", state="note", words=words))
    if paused:
        found.append(Finding(what="paused tools", state="note", words=", ".join(paused)))
    return found


def _frameworks() -> list[Finding]:
    found: list[Finding] = []
    for name, title in _FRAMEWORKS.items():
        try:
            found.append(Finding(what=title, state="ok", words=f"{name} {metadata.version(name)}"))
        except metadata.PackageNotFoundError:
            continue
    return found or [Finding(what="frameworks", state="note", words="none that has an adapter is installed")]
