"""``toolguard verify``: whether the journal is the one that was written."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from toolguard.audit.anchor import Anchor, AnchorFile, read_anchors
from toolguard.audit.verify import Checked, Verifier
from toolguard.cli.app import FINDINGS, PLACE, BadUse, ByOption, JsonOption, StoreOption, emit, run, say
from toolguard.cli.place import asking, key_from, reading, writing
from toolguard.stores.disk import DiskStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def verify(
    session: Annotated[str, typer.Argument(metavar="[SESSION]", help="One session; all of them without it.")] = "",
    store: StoreOption = PLACE,
    anchor: Annotated[str, typer.Option(metavar="FILE", help="Compare with anchors that were written before.")] = "",
    write_anchor: Annotated[str, typer.Option(metavar="FILE", help="Write anchors; keep the file elsewhere.")] = "",
    key_file: Annotated[
        str,
        typer.Option(
            metavar="FILE", envvar="TOOLGUARD_CHAIN_KEY_FILE", help="The key that the journal is chained with."
        ),
    ] = "",
    accept: Annotated[bool, typer.Option("--accept", help="Accept damage at the journal's end, in your name.")] = False,
    by: ByOption = "",
    json: JsonOption = False,
) -> None:
    """Check every record against the journal's chain; name the first that was changed, removed, swapped or inserted."""
    key = key_from(key_file)
    if accept:
        _accept(store, key, by, json=json)
        return
    if session and write_anchor:
        raise BadUse("--write-anchor is for the whole store", advice="Leave the session out.")
    anchors = read_anchors(anchor) if anchor else {}
    bad = run(_verify(store, session, key, anchors, write_anchor, json=json))
    if bad:
        raise typer.Exit(FINDINGS)


async def _verify(
    place: str, session: str, key: bytes | None, anchors: dict[str, Anchor], write: str, *, json: bool
) -> int:
    store = reading(place)
    good = bad = records = 0
    with ExitStack() as stack:
        file = stack.enter_context(AnchorFile(write, store.name)) if write else None
        async with asking(store) as journal:
            verifier = Verifier(journal.ask, key=key, anchors=anchors)
            found = _one(verifier, session) if session else verifier.store()
            async for checked in found:
                good, bad = good + checked.ok, bad + (not checked.ok)
                records += checked.records
                if json:
                    emit(checked)
                elif not checked.ok:
                    say(f"{checked.session}: {checked.sentence}{_hint(checked, key)}")
                if file is not None:
                    file.add(Anchor(session=checked.session, records=checked.records, chain=checked.head))
        if bad and file is not None:
            file.discard()
            say(f"{write} was not written: an anchor is taken of a journal that is right")
    if not json:
        what = "1 session" if good + bad == 1 else f"{good + bad} sessions"
        say(f"{what}, {bad} damaged" if bad else f"{what}, {records} records, all right")
        if file is not None and not bad:
            say(f"{write} written: keep it where the journal's writer cannot reach it")
    return bad


async def _one(verifier: Verifier, session: str) -> AsyncIterator[Checked]:
    yield await verifier.session(session)


def _hint(checked: Checked, key: bytes | None) -> str:
    first = checked.damage == "changed" and checked.seq == 1
    return " (if the journal is chained with a key, give --key-file)" if first and key is None else ""


def _accept(place: str, key: bytes | None, by: str, *, json: bool) -> None:
    if not by.strip():
        raise BadUse("nobody accepts the damage", advice="Give --by YOUR-NAME.")
    store = writing(place, key)
    if not isinstance(store, DiskStore):
        raise BadUse("only a store in a directory can be damaged", advice="Name it with --store.")
    sentences = store.accept_damage(by.strip())
    for sentence in sentences:
        emit({"accepted": sentence, "by": by}) if json else say(f"accepted: {sentence}")
    if not sentences and not json:
        say("nothing is damaged")
