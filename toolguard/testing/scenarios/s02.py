"""S02: a booking is done, the reply about it is cut off, and the model books again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.testing.scenarios.kit import Saboteur, check, must

if TYPE_CHECKING:
    from toolguard.testing.scenarios.played import Played

_MARKED = frozenset({"replayed", "already_done", "differs"})


@check(
    "S02.1",
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old='return Answer("result", plain(run.result), reply, interim=False)',
        new='return Answer("result", plain(b"null"), reply, interim=False)',
    ),
)
def the_next_request_shows_the_success(played: Played) -> None:
    """The request after the interruption has c1 with its result right behind it."""
    request = played.asked("g2")
    must(not request.problems, f"the request is not valid: {'; '.join(request.problems)}")
    shown = [item.text.replace(" ", "") for item in request.items if item.kind == "output" and item.call == "c1"]
    must(shown == ['{"order":1}'], f"it shows of c1: {shown}")


@check(
    "S02.2",
    saboteur=Saboteur(
        "toolguard/core/intent.py",
        old='return "replay" if same else ("run" if confirmed else "differs")',
        new='return "run" if same else "differs"',
    ),
)
def the_booking_was_made_once(played: Played) -> None:
    """One effect, one key."""
    must(played.effects("book") == 1, f"the booking was made {played.effects('book')} times")


@check(
    "S02.3",
    saboteur=Saboteur(
        "toolguard/core/outbox.py",
        old='return Answer("replayed", text, reply, interim=False)',
        new='return Answer("result", plain(run.result), reply, interim=False)',
    ),
)
def the_second_call_is_answered_as_a_repeat(played: Played) -> None:
    """One output, which says that it is c1's result or asks whether to do it twice."""
    text = played.answer("c2").text
    told = json.loads(text)
    must(told.get("toolguard") in _MARKED, f"c2 was answered like a run of its own: {text}")
    must(told.get("result") == {"order": 1}, f"c2's answer does not have c1's result: {text}")
    must(played.began("book") == 1, "c2 ran")


@check(
    "S02.4",
    saboteur=Saboteur("toolguard/engine/answers.py", old="points_to=judged.first,", new='points_to="",'),
)
def the_trail_links_the_two(played: Played) -> None:
    """The record of c2 names the ref of c1."""
    first, second = played.slot("c1"), played.slot("c2")
    session = next(entry.session for entry in played.entries if isinstance(entry.record, r.Called))
    must(second.points_to == f"{session}/{first.call}", f"c2 points to {second.points_to!r}")
