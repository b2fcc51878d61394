"""Lands a batch in Redis or Valkey: packed here behind remembered heads, judged and written there by one script."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import msgpack

from toolguard.core.frame import GENESIS
from toolguard.errors import StoreBusy, StoreError
from toolguard.stores.base import Append, Mark, Receipt
from toolguard.stores.place import Head, claim_lost, fenced, forgotten, lease_over, place
from toolguard.stores.redis_commit_lua import COMMIT
from toolguard.stores.redis_stamp import stamp
from toolguard.stores.unsure import Unsure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolguard.stores.redis_link import Link, Word

_HEADS = 20_000
"""Sessions whose heads are remembered between batches."""
_ROUNDS = 32
"""Times that a batch is packed anew because other processes have written to its sessions meanwhile."""


class Known(NamedTuple):
    """A session's head as this process last saw it, on which run of the server."""

    epoch: int
    seq: int
    chain: bytes
    run: str


_NEW = Known(0, 0, GENESIS, "")


class Ledger:
    """Remembers the heads of sessions, so that a batch is one round trip as long as nobody else writes to them.

    Args:
        link: The connection.
        chain_key: Key of the hash chains, or None.
    """

    def __init__(self, link: Link, chain_key: bytes | None) -> None:
        self._link = link
        self._key = chain_key
        self._heads: dict[str, Known] = {}
        self._asked: dict[int, list[Append]] = {}
        self._unsure = Unsure()

    def learn(self, session: str, epoch: int, seq: int, chain: bytes) -> None:
        """Remember where a session stands."""
        self._heads.pop(session, None)
        self._heads[session] = Known(epoch, seq, chain, self._link.server.run)
        if len(self._heads) > _HEADS:
            del self._heads[next(iter(self._heads))]

    def drop(self, session: str) -> None:
        """Forget one session's head."""
        self._heads.pop(session, None)

    def land(self, batch: Sequence[Append]) -> list[Receipt | StoreError]:
        """Land what of a batch may land, all of it in one step for everybody else.

        Raises:
            StoreError: Nothing of it landed, or (``StoreUnavailable``) nobody can tell.
        """
        self._link.settle()
        for number, answer in self._link.settled.items():
            for append, verdict in zip(self._asked.pop(number, ()), answer, strict=False):
                if verdict[0] == b"ok":
                    self._unsure.note(append, Receipt(int(verdict[1]), int(verdict[2])))
        self._link.settled.clear()
        return self._unsure.write(batch, self._land)

    def _land(self, batch: Sequence[Append]) -> list[Receipt | StoreError]:
        answers: dict[int, Receipt | StoreError] = {}
        final: set[int] = set()
        for _ in range(_ROUNDS):
            words, sent = self._pack(batch, answers, final)
            reply = self._ask(words, [batch[index] for index, _ in sent])
            again = False
            for (index, _head), verdict in zip(sent, reply, strict=True):
                again |= self._note(batch[index], index, verdict, answers, final)
            if not again:
                for index, head in sent:
                    if isinstance(answers[index], Receipt):
                        self.learn(batch[index].session, head.epoch, head.seq, head.chain)
                return [answers[index] for index in range(len(batch))]
        raise StoreBusy(
            f"other processes write to the same sessions faster than this one ({_ROUNDS} tries); nothing was written",
            advice="Try again.",
        )

    def _ask(self, words: list[Word], appends: list[Append]) -> list[Any]:
        if not appends:
            return []
        try:
            return self._link.write(COMMIT, *words)
        except StoreError:
            if self._link.open:
                self._asked = {self._link.open: appends}
            raise

    def _pack(
        self, batch: Sequence[Append], answers: dict[int, Receipt | StoreError], final: set[int]
    ) -> tuple[list[Word], list[tuple[int, Known]]]:
        """Pack a batch behind what is known; what was refused in the round before is not built upon.

        Returns:
            What to say, and for each append that it is about: its place, and the head that it leaves behind.
        """
        words: list[Word] = []
        sent: list[tuple[int, Known]] = []
        heads: dict[str, Known] = {}
        for index, append in enumerate(batch):
            if index in final:
                continue
            session = append.session
            head = heads.get(session) or self._heads.get(session, _NEW)
            try:
                rows, chain = place(append, Head(0, head.epoch, head.seq, head.chain), self._key)
            except StoreError as refusal:
                answers[index] = refusal
                final.add(index)
                continue
            _say(words, append, head, rows, chain)
            after = head._replace(seq=head.seq + len(rows), chain=chain)
            sent.append((index, after))
            if not isinstance(answers.get(index), StoreError):
                heads[session] = after
        return words, sent

    def _note(
        self,
        append: Append,
        index: int,
        verdict: list[Any],
        answers: dict[int, Receipt | StoreError],
        final: set[int],
    ) -> bool:
        """Write down the script's verdict on one append; True where nothing has landed and all is to be packed anew."""
        word = verdict[0]
        if word == b"ok":
            answers[index] = Receipt(int(verdict[1]), int(verdict[2]))
            return False
        if word == b"fenced":
            answers[index] = fenced(append, int(verdict[1]))
            return False
        if word == b"claim":
            answers[index] = claim_lost(append, int(verdict[1]), int(verdict[2]))
            return False
        if word == b"lease":
            answers[index] = lease_over(self._link.process, append.session)
            return False
        answers.pop(index, None)
        epoch, seq, chain = int(verdict[1]), int(verdict[2]), verdict[3]
        known = self._heads.get(append.session, _NEW)
        if word == b"lost" and known.run != self._link.server.run and epoch <= known.epoch:
            answers[index] = forgotten(append.session, known.seq, seq)
            final.add(index)
        else:
            self.learn(append.session, epoch, seq, chain)
        return True


def mark_row(mark: Mark) -> bytes:
    """What is kept of a mark beside its session and call."""
    return msgpack.encode((mark.tenant, mark.tool, mark.phase, mark.at)) if mark.phase else b""


def _say(words: list[Word], append: Append, head: Known, rows: list[bytes], chain: bytes) -> None:
    words += (
        append.session,
        "" if append.epoch is None else append.epoch,
        math.ceil(append.lease * 1000),
        head.epoch,
        head.seq,
        head.chain,
        chain,
        stamp(append.drafts[-1].at if append.drafts else 0),
        append.marks[0].tenant if append.marks else "",
        len(rows),
        *rows,
        len(append.swaps),
    )
    for swap in append.swaps:
        words += (swap.key, swap.expects, swap.expects + 1, swap.value)
    words.append(len(append.marks))
    for mark in append.marks:
        words += (mark.session, mark.call, mark_row(mark))
