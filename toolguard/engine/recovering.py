"""``guard.recover(id)``: look at what would be done, then go on with the session and do exactly that (H4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from toolguard.core.plan import Circumstances, RecoveryPlan, plan
from toolguard.engine.folding import fold
from toolguard.engine.recover import facts_from
from toolguard.engine.session import held
from toolguard.engine.taking import Taking, committing_elsewhere, still_owned
from toolguard.errors import UnknownRef

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from toolguard.engine.entrance import Entrance
    from toolguard.engine.journal import Journal
    from toolguard.engine.limits import Limits
    from toolguard.engine.session import Session
    from toolguard.stores.base import SessionRow, Store
    from toolguard.tools.tool import Tool


class Looked(NamedTuple):
    """What looking at a session has told.

    Attributes:
        plan: What would be done.
        caller: Who is on the line.
        quarantine: A probe's "did not happen" could not be believed yet (D1).
        visited: No process has owned it since it was last opened: web requests come and go (T2).
    """

    plan: RecoveryPlan
    caller: str
    quarantine: bool
    visited: bool


class Recoverer:
    """What recoveries of one guard have in common."""

    def __init__(
        self,
        journal: Journal,
        entrance: Entrance,
        limits: Limits,
        tools: Mapping[str, Tool[Any, Any]],
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self.journal = journal
        self.entrance = entrance
        self.limits = limits
        self.tools = dict(tools)
        self.ready = ready

    async def look(self, id: str, *, sweep: bool = False) -> Looked:  # noqa: A002
        """Plan a recovery without touching the session.

        Raises:
            UnknownRef: There is no such session.
            StoreError: The journal cannot be read.
        """
        await self.ready()
        row, owner_lives, now = await self.journal.ask(lambda store: _look(store, id))
        if row is None or not row.seq:
            raise UnknownRef("there is no such session to recover", ref=id, advice="See `toolguard audit sessions`.")
        state, last = await fold(self.journal, id, size=row.seq)
        others = committing_elsewhere(state)
        alive = await self.journal.ask(lambda store: {one for one in others if store.alive(one)})
        gap = self.entrance.gap(last, now)
        given = Circumstances(
            facts=facts_from(self.tools.get),
            lives=alive.__contains__,
            gap=gap,
            window=self.limits.resume_window,
            doubtful=row.doubtful,
            sweep=sweep,
        )
        made = RecoveryPlan(
            session=id,
            tenant=row.tenant,
            agent=state.agent,
            owner=row.owner,
            owner_lives=owner_lives,
            epoch=row.epoch,
            state=row.state,
            at=now,
            gap_ms=gap * 1e3,
            steps=plan(state, given),
        )
        asked = [state.runs[step.run] for step in made.steps if step.act == "probe"]
        early = any(run.committed_at and self.entrance.gap(run.committed_at, now) < run.limit for run in asked)
        return Looked(made, state.caller, early, visited=not state.process)

    async def go(self, looked: Looked, *, agent: str, taking: Taking) -> Session:
        """Carry a plan out."""
        made = looked.plan
        return await self.entrance.enter(
            made.session,
            dict(self.tools),
            agent=agent or made.agent,
            tenant=made.tenant,
            caller=looked.caller or None,
            port=None,
            taking=taking,
        )


class Recover:
    """One session that is to be gone on with; made by :meth:`toolguard.Guard.recover`.

    ``await guard.recover("conv-42").plan()`` looks without touching; ``async with guard.recover("conv-42") as
    conversation`` goes on with the session and closes it at the end. Where :meth:`plan` was asked before, exactly that
    plan is carried out: if somebody has entered the session since, ``Fenced`` says so.
    """

    def __init__(self, recoverer: Recoverer, id: str, *, agent: str, take: bool) -> None:  # noqa: A002
        self._recoverer = recoverer
        self._id = id
        self._agent = agent
        self._take = take
        self._looked: Looked | None = None
        self._held: AbstractAsyncContextManager[Session] | None = None

    async def plan(self) -> RecoveryPlan:
        """What would be done with each open run, and why.

        Raises:
            UnknownRef: There is no such session.
            StoreError: The journal cannot be read.
        """
        self._looked = await self._recoverer.look(self._id)
        return self._looked.plan

    async def __aenter__(self) -> Session:
        """Take the session over and carry the plan out.

        Raises:
            UnknownRef: There is no such session.
            StillOwned: Its owner lives, and ``take`` was not given.
            Fenced: Somebody else was first.
            StoreError: The session cannot be read or entered.
        """
        looked = self._looked or await self._recoverer.look(self._id)
        made = looked.plan
        if made.owner_lives and not self._take:
            raise still_owned(self._id, made.owner)
        taking = Taking(made.epoch, self._take, made.at)
        self._held = held(await self._recoverer.go(looked, agent=self._agent, taking=taking))
        return await self._held.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session."""
        if self._held is not None:
            await self._held.__aexit__(kind, error, trace)


def _look(store: Store, session: str) -> tuple[SessionRow | None, bool, int]:
    row = store.session(session)
    lives = row is not None and bool(row.owner) and store.alive(row.owner)
    return row, lives, store.now()
