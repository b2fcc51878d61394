"""How a conversation is entered: its epoch taken, its journal folded, its parts wired, what was left open resumed."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from weakref import WeakValueDictionary

import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from toolguard.core import records as r
from toolguard.core.policy import name_of
from toolguard.core.state import State
from toolguard.core.unheard import Unheard, unheard_of
from toolguard.engine.asking import Asker
from toolguard.engine.folding import fold
from toolguard.engine.fresh import FreshReads
from toolguard.engine.ledger import Ledger
from toolguard.engine.lookout import Lookout
from toolguard.engine.observe import Watch
from toolguard.engine.recover import Recovery
from toolguard.engine.session import Session
from toolguard.engine.snapshots import Snapshots
from toolguard.engine.toolbox import check_scopes
from toolguard.engine.visit import Visit
from toolguard.engine.visiting import open_visit, seat
from toolguard.engine.wiring import Wiring
from toolguard.errors import DeclarationError, StoreBusy, StoreError
from toolguard.listen.rules import by_rules
from toolguard.stores.locate import cache_beside

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolguard.core.policy import Policy
    from toolguard.engine.batch import Entry
    from toolguard.engine.clock import Clock
    from toolguard.engine.journal import Journal
    from toolguard.engine.limits import Limits
    from toolguard.engine.port import Port
    from toolguard.engine.switches import Switches
    from toolguard.engine.transfer import Sealing
    from toolguard.listen.heard import Listener
    from toolguard.stores.base import SessionRow, Store
    from toolguard.tools.tool import Tool

FollowUp: TypeAlias = "Callable[[str, list[Unheard]], Awaitable[None] | None]"
"""Called with a session's id and what its caller never heard."""
_SECRET = "secret/intent"  # noqa: S105 - the name of a note, not a secret
KEPT = 1024
"""Visited sessions whose state is kept between requests."""
BUSY_FOR = 5.0
"""Seconds that opening a store or a session is tried again while other processes hold it."""


class Entrance:
    """What the sessions of one guard have in common, and the way into each of them."""

    def __init__(
        self,
        journal: Journal,
        switches: Switches,
        *,
        clock: Clock,
        limits: Limits,
        policy: Policy | None,
        listener: Listener | None,
        mode: str,
        follow_up: FollowUp | None,
        sealing: Sealing,
    ) -> None:
        self.sealing = sealing
        self._journal = journal
        self._switches = switches
        self._clock = clock
        self._limits = limits
        self._policy = policy
        self._listener = listener or by_rules()
        self._trusted = listener is None
        self._mode = mode
        self._follow_up = follow_up
        self._asker = Asker()
        self._snapshots = Snapshots(journal)
        self._secret = b""
        self._fresh: FreshReads | None = None
        self._lookout = Lookout(journal)
        self._doorways: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.sessions: dict[str, Session] = {}

    async def open(self) -> None:
        """Open the journal and read what the store keeps for all sessions.

        Raises:
            StoreError: The store cannot be opened; one that is only busy is tried for some seconds.
        """
        async for attempt in _patiently():
            with attempt:
                await self._journal.open()
                self._secret = await self._journal.ask(_secret)
                if not self.sealing.key:
                    self.sealing = self.sealing._replace(key=hmac.digest(self._secret, b"packets", "sha256"))

    async def close(self) -> None:
        """Close what belongs to all sessions."""
        await self._lookout.close()
        self._asker.close()
        self._snapshots.close()
        if self._fresh is not None:
            self._fresh.close()
            self._fresh = None

    async def enter(
        self,
        id: str,  # noqa: A002 - the word that every framework uses
        known: dict[str, Tool[Any, Any]],
        *,
        agent: str,
        tenant: str,
        caller: str | None,
        port: Port | None,
        begin: Callable[[Ledger], None] | None = None,
    ) -> Session:
        """Take a session over for this process and go on with it where its journal ends.

        ``begin`` writes what comes first instead of a new context; the context has to follow.

        Raises:
            DeclarationError: A tool needs a caller and the session has none.
            StoreError: The session cannot be journaled, or belongs to another tenant.
        """
        check_scopes(known, id, caller)
        row = await self._row(id, tenant)
        if isinstance(visited := self.sessions.get(id), Visit):
            visited.wiring.ledger.fenced = True
        ignored: list[str] = []
        state, last = await fold(self._journal, id, size=row.seq, notice=ignored.append) if row.seq else (State(id), 0)
        ledger = Ledger(state, self._journal, self._clock, row.epoch)
        ledger.seen = row.seq
        self._snapshots.watch(ledger)
        wiring = self._wire(ledger, known, port)
        opening = self._opening(known, row.tenant, port)
        opening = msgspec.structs.replace(opening, agent=agent, caller=caller or state.caller, recovered=bool(row.seq))
        ledger.write(opening)
        if begin is not None:
            begin(ledger)
        elif row.seq:
            ledger.write(r.ContextOpened(context=state.context + 1, agent=agent, cause="a new connection"))
        session = Watch(wiring) if self._mode == "observe" else Session(wiring)
        self.sessions[id] = session
        for why in ignored:
            wiring.execution.notice("snapshot_ignored", why)
        if row.seq:
            Recovery(wiring.execution, known.get, self._limits.resume_window).resume(last)
            wiring.claims.repair()
        return session

    async def visit(
        self,
        id: str,  # noqa: A002
        known: dict[str, Tool[Any, Any]],
        *,
        agent: str,
        tenant: str,
        caller: str | None,
        known_only: bool = False,
    ) -> Visit:
        """Bring a session up to date that no process owns, or begin it; other processes may be at it as well (T2).

        Raises:
            StillOwned: A living process owns it.
            UnknownRef: With ``known_only``, there is no such session.
            DeclarationError: A tool needs a caller and the session has none, or the guard only observes.
            StoreError: The session cannot be journaled, or belongs to another tenant or caller.
        """
        if self._mode == "observe":
            raise DeclarationError("a guard in observe mode visits no session", advice="Use guard.session(...).")
        async with self._doorways.setdefault(id, asyncio.Lock()):
            epoch, seq = await seat(self._journal, id, tenant, at=self._clock.wall(), known_only=known_only)
            visit = self.sessions.pop(id, None)
            if not isinstance(visit, Visit) or not visit.usable or visit.wiring.ledger.epoch != epoch:
                state = (await fold(self._journal, id, until=seq, size=seq))[0] if seq else State(id, tenant=tenant)
                ledger = Ledger(state, self._journal, self._clock, epoch, visiting=True)
                ledger.seen = seq
                visit = Visit(self._wire(ledger, known, None), known)
            visit.known.update(known)
            await visit.wiring.abreast.sync()
            check_scopes(known, id, caller or visit.state.caller or None)
            self._make_room()
            self.sessions[id] = visit
            if not known_only:
                await open_visit(visit, self._opening(known, tenant), agent=agent, caller=caller)
            return visit

    def _make_room(self) -> None:
        """Forget visited sessions that nothing here is at, the longest unvisited first; the journal knows them."""
        visits = [(id_, one) for id_, one in self.sessions.items() if isinstance(one, Visit)]
        for id_, one in visits[: max(0, len(visits) - KEPT)]:
            if not one.busy:
                one.wiring.stop()
                del self.sessions[id_]

    async def _row(self, id: str, tenant: str) -> SessionRow:  # noqa: A002
        at = self._clock.wall()
        async for attempt in _patiently():
            with attempt:
                row = await self._journal.ask(lambda store: store.enter(id, tenant, at=at))
                if row.tenant != tenant:
                    raise StoreError(f"it belongs to tenant {row.tenant!r}", ref=id, advice="Use another id.")
                return row
        raise StoreBusy("the session could not be entered", ref=id, advice="Try again.")

    def _wire(self, ledger: Ledger, known: dict[str, Tool[Any, Any]], port: Port | None) -> Wiring:
        return Wiring(
            ledger,
            limits=self._limits,
            tools=known.get,
            policy=self._policy,
            listener=self._listener,
            trusted_listener=self._trusted,
            asker=self._asker,
            port=port,
            watching=self._mode == "observe",
            secret=self._secret,
            sealing=self.sealing,
            paused=self._switches.paused,
            fresh=self._fresh_reads(known),
            lookout=self._lookout,
            finish=self._finished,
        )

    def _fresh_reads(self, known: dict[str, Tool[Any, Any]]) -> FreshReads | None:
        """The cache of reads, opened only where a tool shares fresh results beyond its session."""
        if self._fresh is None and any(t.spec.fresh_for > 0 and t.spec.scope != "session" for t in known.values()):
            self._fresh = FreshReads(partial(cache_beside, self._journal.store))
        return self._fresh

    def _opening(self, known: dict[str, Tool[Any, Any]], tenant: str, port: Port | None = None) -> r.Opened:
        traits = port.traits if port is not None else None
        return r.Opened(
            tenant=tenant,
            agent="",
            process=self._journal.process,
            adapter=traits.adapter if traits is not None else "direct",
            evidence=traits.evidence if traits is not None else "none",
            policy=name_of(self._policy) if self._policy is not None else "by_effect",
            mode="observe" if self._mode == "observe" else "enforce",
            tools={name: tool.spec.version for name, tool in known.items()},
        )

    async def _finished(self, wiring: Wiring, entry: Entry, resumable: bool) -> None:
        session = wiring.ledger.state.session
        self.sessions.pop(session, None)
        self._snapshots.forget(session)
        try:
            async with asyncio.timeout(self._limits.drain):
                await self._journal.fate(entry)
                await self._journal.ask(lambda store: store.leave(session, "open" if resumable else "closed"))
        except (StoreError, TimeoutError) as error:
            wiring.execution.notice("close_not_recorded", str(error) or "the store did not answer in time")
        if self._follow_up is not None and not resumable:
            await self._follow(self._follow_up, wiring)

    async def _follow(self, hook: FollowUp, wiring: Wiring) -> None:
        """Tell the application what was not heard; its code may fail or hang, the closing does not."""
        try:
            async with asyncio.timeout(self._limits.drain):
                answer = hook(wiring.ledger.state.session, unheard_of(wiring.ledger.state))
                if answer is not None:
                    await answer
        except Exception as error:  # noqa: BLE001 - the application's own code
            wiring.execution.notice("follow_up_failed", f"{type(error).__name__}: {error}")


def _patiently() -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(StoreBusy),
        stop=stop_after_delay(BUSY_FOR),
        wait=wait_random_exponential(multiplier=0.05, max=0.5),
        reraise=True,
    )


def _secret(store: Store) -> bytes:
    """The store's own secret for intent keys, made with the store."""
    notes = store.notes(_SECRET)
    if _SECRET not in notes:
        store.note(_SECRET, secrets.token_bytes(32), keep=True)
        notes = store.notes(_SECRET)
    return notes[_SECRET]
