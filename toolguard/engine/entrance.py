"""How a conversation is entered: its epoch taken, its journal folded, its parts wired, what was left open resumed."""

from __future__ import annotations

import asyncio
import hmac
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from toolguard.core import records as r
from toolguard.core.plan import Circumstances
from toolguard.core.policy import name_of
from toolguard.core.state import State
from toolguard.core.unheard import Unheard, unheard_of
from toolguard.engine.asking import Asker
from toolguard.engine.clock import SystemClock
from toolguard.engine.fencing import let_go
from toolguard.engine.folding import fold
from toolguard.engine.fresh import FreshReads
from toolguard.engine.ledger import Ledger
from toolguard.engine.lookout import Lookout
from toolguard.engine.observe import Watch
from toolguard.engine.recover import Recovery, facts_from
from toolguard.engine.session import Session
from toolguard.engine.snapshots import Snapshots
from toolguard.engine.storesecret import secret_of
from toolguard.engine.taking import ANYHOW, Entered, Taking, begun, committing_elsewhere, take
from toolguard.engine.toolbox import check_approvals, check_scopes
from toolguard.engine.visit import Visit
from toolguard.engine.visits import Visits
from toolguard.engine.wiring import Wiring
from toolguard.errors import StoreBusy, StoreError
from toolguard.listen.rules import by_rules
from toolguard.stores.locate import cache_beside

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from toolguard.core.policy import Policy
    from toolguard.engine.batch import Entry
    from toolguard.engine.clock import Clock
    from toolguard.engine.journal import Journal
    from toolguard.engine.keys import Keys
    from toolguard.engine.limits import Limits
    from toolguard.engine.owner import Owner
    from toolguard.engine.port import Port
    from toolguard.engine.switches import Switches
    from toolguard.engine.transfer import Sealing
    from toolguard.listen.heard import Listener
    from toolguard.tools.tool import Tool

FollowUp: TypeAlias = "Callable[[str, list[Unheard]], Awaitable[None] | None]"
"""Called with a session's id and what its caller never heard."""
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
        owner: Owner,
        sealing: Sealing,
        keys: Keys,
    ) -> None:
        self.sealing = sealing
        self._keys = keys
        self.journal = journal
        self._switches = switches
        self.clock = clock
        self._limits = limits
        self._policy = policy
        self._listener = listener or by_rules()
        self._trusted = listener is None
        self._mode = mode
        self.watching = mode == "observe"
        self._follow_up = follow_up
        self._asker = Asker()
        self._snapshots = Snapshots(journal)
        self._secret = b""
        self._fresh: FreshReads | None = None
        self.owner = owner
        self.sessions = owner.sessions
        self._lookout = Lookout(journal)
        self.visits = Visits(self)

    async def open(self) -> None:
        """Open the journal and read what the store keeps for all sessions.

        Raises:
            StoreError: The store cannot be opened; one that is only busy is tried for some seconds.
        """
        async for attempt in _patiently():
            with attempt:
                await self.journal.open()
                await self.owner.lease.begin()
                self._secret = await self.journal.ask(secret_of)
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
        taking: Taking = ANYHOW,
    ) -> Session:
        """Take a session over for this process and go on with it where its journal ends.

        ``begin`` writes what comes first instead of a new context; the context has to follow.

        Raises:
            DeclarationError: A tool needs a caller and the session has none.
            StillOwned: Its owner lives and ``taking`` does not take it away.
            StoreError: The session cannot be journaled, or belongs to another tenant, or somebody else was first.
        """
        check_scopes(known, id, caller)
        if not self.watching:
            check_approvals(known, id, port.traits if port is not None else None)
        entered = await self._take(id, tenant, taking)
        if isinstance(visited := self.sessions.get(id), Visit):
            self.owner.lost(visited)
            visited.wiring.ledger.fence("this process has entered the session", "Use the session that was entered.")
        ignored: list[str] = []
        try:
            row = entered.row
            state, last = (
                await fold(self.journal, id, size=row.seq, notice=ignored.append) if row.seq else (State(id), 0)
            )
            given = await self._circumstances(state, last, entered, known, taking)
        except BaseException:
            await self._leave(id)
            raise
        ledger = Ledger(state, self.journal, self.clock, row.epoch)
        ledger.seen = row.seq
        self._snapshots.watch(ledger)
        wiring = self.wire(ledger, known, port)
        wiring.execution.lease = self.owner.lease
        opening = self.opening(known, row.tenant, port)
        opening = msgspec.structs.replace(opening, agent=agent, caller=caller or state.caller, recovered=bool(row.seq))
        ledger.write(opening)
        if begin is not None:
            begin(ledger)
        elif row.seq:
            ledger.write(r.ContextOpened(context=state.context + 1, agent=agent, cause="a new connection"))
        session = Watch(wiring) if self._mode == "observe" else Session(wiring)
        ledger.on_fenced = partial(self._fenced, session)
        self.owner.add(session)
        for why in ignored:
            wiring.execution.notice("snapshot_ignored", why)
        if row.seq:
            self._recover(session, entered, given, known, taking)
            wiring.claims.repair()
        return session

    def _recover(
        self,
        session: Session,
        entered: Entered,
        given: Circumstances,
        known: dict[str, Tool[Any, Any]],
        taking: Taking,
    ) -> None:
        """Carry the plan out, where there is something to go on with."""
        state = session.state
        left = entered.before is not None and entered.before.state == "open" and entered.before.epoch
        if left or taking.cause or state.open_runs or state.doubtful:
            report = begun(entered, given.gap, taking.cause)
            session.recovery = Recovery(session.wiring, known.get, given).carry_out(report)

    async def _take(self, id: str, tenant: str, taking: Taking) -> Entered:  # noqa: A002
        at = self.clock.wall()
        async for attempt in _patiently():
            with attempt:
                return await self.journal.ask(lambda store: take(store, id, tenant, at, taking))
        raise StoreBusy("the session could not be entered", ref=id, advice="Try again.")

    async def _leave(self, id: str) -> None:  # noqa: A002
        """It could not be gone on with: nobody has it, so that somebody else may try."""
        with suppress(StoreError):
            await self.journal.ask(lambda store: store.leave(id, "open"))

    async def _circumstances(
        self, state: State, last: int, entered: Entered, known: dict[str, Tool[Any, Any]], taking: Taking
    ) -> Circumstances:
        """What the plan for a session depends on, beside its state."""
        others = committing_elsewhere(state)
        here = {state.process} if state.session in self.sessions else set[str]()
        if any(one.id == state.session for one in self.owner.fenced):  # this process commits what it began before
            here.add(self.journal.process)
        alive = set(here)
        if others - {self.journal.process}:
            alive |= await self.journal.ask(lambda store: {one for one in others if not store.bury(one)})
        return Circumstances(
            facts=facts_from(known.get),
            lives=alive.__contains__,
            gap=self.gap(last, taking.at or entered.now),
            window=self._limits.resume_window,
            doubtful=entered.doubtful,
            sweep=taking.sweep,
            watching=self._mode == "observe",
        )

    def gap(self, last: int, now: int) -> float:
        """Seconds since the last record, by the store's clock; a negative age counts as none (T5).

        A clock of the application's own stands in for the store's.
        """
        wall = now if isinstance(self.clock, SystemClock) else self.clock.wall()
        return max(0.0, (wall - last) / 1e9)

    def _fenced(self, session: Session) -> None:
        """Somebody else owns the session: what has no effect yet ends as soon as the loop comes round."""
        living = self.sessions.get(session.id)  # another agent's session may go on over the same parts
        self.owner.lost(living if living is not None and living.wiring is session.wiring else session)
        asyncio.get_running_loop().call_soon(let_go, session.wiring)

    def wire(self, ledger: Ledger, known: dict[str, Tool[Any, Any]], port: Port | None) -> Wiring:
        """The parts of one session."""
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
            keys=self._keys,
            finish=self._finished,
        )

    def _fresh_reads(self, known: dict[str, Tool[Any, Any]]) -> FreshReads | None:
        """The cache of reads, opened only where a tool shares fresh results beyond its session."""
        if self._fresh is None and any(t.spec.fresh_for > 0 and t.spec.scope != "session" for t in known.values()):
            self._fresh = FreshReads(partial(cache_beside, self.journal.store))
        return self._fresh

    def opening(self, known: dict[str, Tool[Any, Any]], tenant: str, port: Port | None = None) -> r.Opened:
        """What the first record of a session under a new owner says."""
        traits = port.traits if port is not None else None
        return r.Opened(
            tenant=tenant,
            agent="",
            process=self.journal.process,
            adapter=traits.adapter if traits is not None else "direct",
            evidence=traits.evidence if traits is not None else "none",
            policy=name_of(self._policy) if self._policy is not None else "by_effect",
            mode="observe" if self._mode == "observe" else "enforce",
            tools={name: tool.spec.version for name, tool in known.items()},
        )

    async def _finished(self, wiring: Wiring, entry: Entry | None, resumable: bool) -> None:
        session = wiring.ledger.state.session
        self._snapshots.forget(session)
        self.owner.drop(wiring)
        if entry is None:
            return
        try:
            async with asyncio.timeout(self._limits.drain):
                await self.journal.fate(entry)
                await self.journal.ask(lambda store: store.leave(session, "open" if resumable else "closed"))
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
