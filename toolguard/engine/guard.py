"""The guard: one store, some tools, a policy and a listener; the door through which conversations are opened."""

from __future__ import annotations

import asyncio
import inspect
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from toolguard.audit.trail import Trail
from toolguard.core.redact import by_name as by_field_name
from toolguard.core.unheard import Unheard, unheard_of
from toolguard.engine.accepting import Accepting
from toolguard.engine.clock import SystemClock
from toolguard.engine.entrance import Entrance
from toolguard.engine.feed import Feed
from toolguard.engine.journal import Journal
from toolguard.engine.keys import Keys
from toolguard.engine.limits import Limits
from toolguard.engine.logsink import log_event
from toolguard.engine.owner import Owner, new_token
from toolguard.engine.reception import Receiving
from toolguard.engine.recovering import Recover, Recoverer
from toolguard.engine.refreshing import Refresher
from toolguard.engine.resolve import Resolver
from toolguard.engine.session import Session, held
from toolguard.engine.switches import Switches
from toolguard.engine.toolbox import by_name
from toolguard.engine.transfer import Sealing
from toolguard.engine.watching import Watching
from toolguard.errors import DeclarationError, StoreError
from toolguard.stores.locate import store_from

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from toolguard.audit.source import Readable
    from toolguard.core.finding import Finding
    from toolguard.core.policy import Policy
    from toolguard.core.redact import Redact
    from toolguard.engine.clock import Clock
    from toolguard.engine.feed import Event
    from toolguard.engine.port import Port
    from toolguard.engine.watching import Swept
    from toolguard.listen.heard import Listener
    from toolguard.stores.base import Store
    from toolguard.tools.tool import Tool

Mode = Literal["enforce", "observe"]
T = TypeVar("T")


class Guard(Accepting, Receiving):
    """Guards the tools of an application.

    Args:
        store: A directory (the embedded store), ``"memory"``, or a store of your own.
        tools: The guarded tools; sessions may bring their own.
        policy: Decides what an interrupt does to calls in flight; where it has no opinion, ``by_effect()`` does.
        listener: Classifies the caller's words; the built-in rules by default.
        mode: ``enforce``, or ``observe``: the framework sees undecorated tools, and the journal says what would
            have been decided.
        limits: The sessions' own time limits.
        follow_up: Called after each session with its id and what the caller never heard, to send a message.
        clock: Where wall time comes from.
        packet_key: Signs handoff packets, for agents on different stores; by default the store's own key.
        keys: What the keys mean that callers press (:meth:`toolguard.engine.session.Session.key_pressed`); by default 1
            says yes and 2 says no to what the caller was asked. Which key it was is not recorded.
        redact: ``(field name, value) -> value``: what of a field may stand in a packet; by default fields are hidden
            that are secrets by their names.

    A guard is lazy: it opens its store with the first session, or with ``async with``.
    """

    def __init__(
        self,
        store: str | Path | Store,
        *,
        tools: Sequence[Tool[..., Any]] = (),
        policy: Policy | None = None,
        listener: Listener | None = None,
        mode: Mode = "enforce",
        limits: Limits | None = None,
        follow_up: Callable[[str, list[Unheard]], Awaitable[None] | None] | None = None,
        clock: Clock | None = None,
        packet_key: bytes = b"",
        redact: Redact = by_field_name,
        keys: Keys | None = None,
    ) -> None:
        if policy is not None and not _is_policy(policy):
            raise DeclarationError(
                f"{policy!r} is no policy",
                advice="A policy is a plain function (call, interrupt) -> Decision | None, not a coroutine function.",
            )
        self._store = store_from(store) if isinstance(store, (str, os.PathLike)) else store
        self._tools = by_name(tools)
        self.mode: Mode = mode
        self.limits = limits or Limits()
        self.clock = clock or SystemClock()
        self.journal = Journal(self._store, new_token())
        self.journal.delayed = self._delayed
        self.feed = Feed(self.journal)
        self.switches = Switches(self.journal)
        self._owner = Owner(self.journal, self.limits)
        self._entrance = Entrance(
            self.journal,
            self.switches,
            clock=self.clock,
            limits=self.limits,
            policy=policy,
            listener=listener,
            mode=mode,
            follow_up=follow_up,
            owner=self._owner,
            sealing=Sealing(packet_key, redact),
            keys=keys or Keys(),
        )
        self._opening: asyncio.Lock | None = None
        self._pid = os.getpid()
        self._open = False
        self.sessions = self._entrance.sessions
        self._refresher = Refresher(self.switches, self.sessions)
        self._recoverer = Recoverer(self.journal, self._entrance, self.limits, self._tools, self.open)

    # -- opening and closing ------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the store; done by itself with the first session.

        Raises:
            StoreError: The store cannot be opened; the message says what to do.
        """
        if os.getpid() != self._pid:
            raise StoreError("this guard was made before a fork", advice="Make a new Guard in the child process.")
        if self._open:
            return
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            await self._open_once()

    async def _open_once(self) -> None:
        if not self._open:
            await self._entrance.open()
            await self.switches.read()
            self._open = True
            if self._store.threaded:
                self._refresher.begin()

    async def close(self) -> None:
        """End all sessions of this process as a shutdown, write what is waiting, close the store."""
        if not self._open:
            return
        for session in [*self.sessions.values(), *self._owner.fenced]:
            await session.close("shutdown")
        await self._owner.lease.end()
        await self._refresher.end()
        await self._entrance.close()
        self._open = False
        await self.journal.close()

    async def __aenter__(self) -> Self:
        """Open."""
        await self.open()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close."""
        await self.close()

    def _delayed(self, sessions: set[str], error: StoreError) -> None:
        """Records have to wait for a failing store: the trail will say so (W4)."""
        for session in sessions & self.sessions.keys():
            self.sessions[session].wiring.execution.notice("recording_delayed", str(error))

    # -- sessions -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def session(
        self,
        id: str,  # noqa: A002 - the word that every framework uses
        *,
        agent: str = "agent",
        tenant: str = "default",
        caller: str | None = None,
        tools: Sequence[Tool[..., Any]] | None = None,
        port: Port | None = None,
    ) -> AsyncGenerator[Session]:
        """Open a conversation, or go on with one whose process has died.

        Args:
            id: The session's id, stable over reconnects.
            agent: The agent that has the conversation.
            tenant: Who runs the agent; everything lies inside one tenant.
            caller: Who is on the line; tools of scope ``caller`` need it.
            tools: Tools of this session only.
            port: The framework's door; adapters pass it.

        Raises:
            DeclarationError: A tool needs a caller and the session has none.
            StoreError: The session cannot be journaled.
        """
        session = await self.enter(id, agent=agent, tenant=tenant, caller=caller, tools=tools, port=port)
        async with held(session):
            yield session

    def recover(self, id: str, *, agent: str = "", take: bool = False) -> Recover:  # noqa: A002
        """Go on with a session that another process left behind (H4).

        ``async with guard.recover("conv-42") as conversation`` goes on; ``await guard.recover("conv-42").plan()`` says
        what would be done. With ``take`` also where its process is alive: what that one commits is followed from here.
        """
        return Recover(self._recoverer, id, agent=agent, take=take)

    def watch(self, *, every: float = 1.0, tenant: str | None = None) -> AsyncGenerator[Session]:
        """Claim sessions whose process has died and give each of them, recovered, to whoever iterates.

        Each stays open until it is closed (``await conversation.close()``). Those past the resume window are swept.

        Args:
            every: Seconds between two looks.
            tenant: Only this tenant's sessions.
        """
        return Watching(self._recoverer).sessions(every=every, tenant=tenant)

    async def sweep(self, *, tenant: str | None = None) -> list[Swept]:
        """Put away sessions that nobody owns and nobody came back to within the resume window (H5)."""
        return await Watching(self._recoverer).sweep(tenant=tenant)

    async def enter(
        self,
        id: str,  # noqa: A002
        *,
        agent: str,
        tenant: str = "default",
        caller: str | None = None,
        tools: Sequence[Tool[..., Any]] | None = None,
        port: Port | None = None,
    ) -> Session:
        """Open a session without a context manager: the caller of this must ``await session.close()``."""
        await self.open()
        known = {**self._tools, **by_name(tools or ())}
        return await self._entrance.enter(id, known, agent=agent, tenant=tenant, caller=caller, port=port)

    @property
    def process(self) -> str:
        """This process's token; it changes where somebody has found the process dead (T4)."""
        return self.journal.process

    # -- the outside --------------------------------------------------------------------------------------------

    def events(
        self, *, session: str | None = None, kinds: Collection[str] | None = None, room: int = 4096
    ) -> AsyncIterator[Event]:
        """The recovery-event stream: typed, versioned records as they land (:class:`toolguard.engine.feed.Event`)."""
        return self.feed.events(session=session, kinds=kinds, room=room)

    def unheard(self, session: str) -> list[Unheard]:
        """Outcomes of writes that the caller of a session in this process has not heard (O8)."""
        found = self.sessions.get(session)
        return unheard_of(found.state) if found is not None else []

    @property
    def tools(self) -> Mapping[str, Tool[Any, Any]]:
        """The guard's tools by name."""
        return self._tools

    @property
    def trail(self) -> Trail:
        """Every call of the store, for people; see :class:`toolguard.audit.trail.Trail`."""
        return Trail(self._ask)

    async def _ask(self, question: Callable[[Readable], T]) -> T:
        await self.open()
        return await self.journal.ask(question)

    async def resolve(self, ref: str, finding: Finding[Any], *, by: str) -> None:
        """Settle a run in doubt with what a person found out; the first settlement wins (D3, L4).

        Args:
            ref: The call, as ``conv-42/7``.
            finding: ``Happened(result, evidence=...)`` or ``DidNotHappen(evidence=...)``; the evidence is required.
            by: Who found out.

        Raises:
            EvidenceMissing: The finding lacks its evidence.
            UnknownRef: The store has no such call.
            AlreadySettled: Its run is not in doubt.
            StoreError: It could not be written; the run is in doubt as before.
        """
        await self.open()
        await Resolver(self.journal, self.clock, self._tools.get, self.sessions).settle(ref, finding, by=by)

    def log(self) -> None:
        """Write recovery events to loguru; it stays silent until ``loguru.logger.enable("toolguard")``."""
        self.feed.add_sink(log_event)

    async def pause(self, tool: str, *, by: str, reason: str = "") -> None:
        """Switch a tool off in every process of this store, until :meth:`resume`."""
        await self.open()
        await self.switches.pause(tool, by=by, reason=reason)

    async def resume(self, tool: str) -> None:
        """Switch a paused tool on again."""
        await self.open()
        await self.switches.resume(tool)


def _is_policy(policy: object) -> bool:
    return callable(policy) and not inspect.iscoroutinefunction(policy)
