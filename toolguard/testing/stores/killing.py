"""Commits and is killed at each write boundary in turn: ``python -m toolguard.testing.stores.killing PLACE``.

It says in lines of JSON where it was killed and what had been acknowledged until then. For the n-th boundary it works
on the sessions ``n/a`` and ``n/b`` and the claim ``n``.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from toolguard.stores.base import Mark, Receipt, Swap
from toolguard.testing.stores import boundary
from toolguard.testing.stores.child import opener
from toolguard.testing.stores.making import append

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.base import Append

MOST = 240
"""Boundaries that are tried at most; where there are more, they are taken at even distances."""


def batches(number: int, epoch: int) -> list[list[Append]]:
    """What is committed, batch by batch: records, claims and marks, some power-durable, some large."""
    one, two = f"{number}/a", f"{number}/b"
    mark = Mark(one, 1, "t", "charge", "committing", 5)
    return [
        [
            append(one, epoch, b"intent", b"commit", durable=True, swaps=[Swap(str(number), 0, b"1")], marks=[mark]),
            append(two, None, b"z" * 9_000),
        ],
        [append(one, epoch, b"result", b"sent", swaps=[Swap(str(number), 1, b"2")], marks=[mark._replace(phase="")])],
        [append(two, None, b"evidence", durable=True), append(one, epoch, b"end")],
    ]


def victim(place: str, number: int) -> Callable[[boundary.Mark], None]:
    """What the process does that is killed at boundary ``number``."""

    def work(mark: boundary.Mark) -> None:
        store = opener(place)
        store.open(f"victim-{number}")
        epoch = store.enter(f"{number}/a", "t", at=1).epoch
        mark.begin()
        for batch in batches(number, epoch):
            answers = store.commit(batch)
            mark.say(str(sum(isinstance(answer, Receipt) for answer in answers)))
        mark.over()
        mark.say("end")
        store.close()

    return work


def main(place: str) -> None:
    """Kill a process at every boundary of its commits."""
    impossible = boundary.possible()
    if impossible:
        sys.stdout.write(json.dumps({"cannot": impossible}) + "\n")
        return
    whole = boundary.run(victim(place, 0), kill_at=0)
    step = -(-len(whole.calls) // MOST)
    number = 0
    while True:
        number += step or 1
        death = boundary.run(victim(place, number), kill_at=number)
        acked = death.said.decode().split()
        line = {"number": number, "at": death.calls[-1:], "acked": acked, "killed": death.killed}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        if not death.killed or number > len(whole.calls) + MOST:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
