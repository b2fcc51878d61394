"""SIGKILL at every write boundary of a commit: each append is whole or absent, acknowledged ones are there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from toolguard.stores.base import Receipt
from toolguard.testing.stores.abilities import cannot
from toolguard.testing.stores.making import append, is_whole, payloads

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Store

_ONE = [[], [b"intent", b"commit"], [b"intent", b"commit", b"result", b"sent"]]
_TWO = [[], [b"z" * 9_000], [b"z" * 9_000, b"evidence"]]


def killed(place: str) -> list[dict[str, Any]]:
    """Let processes be killed at every boundary in turn; where each was, and what it had been told by then."""
    done = subprocess.run(  # noqa: S603 - a module of ours
        [sys.executable, "-m", "toolguard.testing.stores.killing", place],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=600,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


class KillRules:
    """SIGKILL at every write boundary of a commit: each append is whole or absent, acknowledged ones are there."""

    def test_an_append_is_whole_or_absent_wherever_its_process_is_killed(
        self, handles: Callable[[], Store], place: str | None, chain_key: bytes | None
    ) -> None:
        if place is None:
            cannot("start other processes on this content")
        deaths = killed(place)
        if "cannot" in deaths[0]:
            cannot(str(deaths[0]["cannot"]))
        assert sum(bool(death["killed"]) for death in deaths) >= 3, "no write boundary was found"
        assert deaths[-1]["acked"] == ["2", "1", "2", "end"]
        store = handles()
        store.open("heir")
        open_calls = {mark.session for mark in store.open_calls(limit=10_000)}
        for death in deaths:
            number, told = death["number"], len(death["acked"])
            where = f"killed at {death['at']} ({number})"
            one, two, claim = f"{number}/a", f"{number}/b", store.claim(str(number))
            first, second = payloads(store, one), payloads(store, two)
            assert [*_ONE, [*_ONE[2], b"end"]].count(first) == 1, where
            assert _TWO.count(second) == 1, where
            for session in (one, two):
                assert store.session(session) is None or is_whole(store, session, chain_key), where
            assert len(first) >= (0, 2, 4, 5, 5)[told], where
            assert len(second) >= (0, 1, 1, 2, 2)[told], where
            moved = min(len(first) // 2, 2)
            assert claim == ((moved, str(moved).encode()) if moved else None), where
            assert (one in open_calls) == (moved == 1), where
            assert store.commit([append(one, None, b"heir")]) == [Receipt(len(first) + 1, 1)], where
        store.close()
