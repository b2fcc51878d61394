"""The guard's door for requests: any number of processes serve one conversation without owning it (T2)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

from toolguard.engine.session import Desks
from toolguard.engine.toolbox import by_name
from toolguard.engine.visit_delivery import DOOR
from toolguard.errors import NotOwned

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from toolguard.engine.entrance import Entrance
    from toolguard.engine.port import Port
    from toolguard.engine.visit import Visit
    from toolguard.tools.tool import Tool


class Receiving:
    """The half of a guard that serves conversations request by request."""

    _entrance: Entrance
    _tools: dict[str, Tool[Any, Any]]

    async def open(self) -> None:
        """Open the store; done by itself with the first session."""
        raise NotImplementedError

    @asynccontextmanager
    async def visit(
        self,
        id: str,  # noqa: A002 - the word that every framework uses
        *,
        agent: str = "agent",
        tenant: str = "default",
        caller: str | None = None,
        tools: Sequence[Tool[..., Any]] | None = None,
        port: Port | None = None,
    ) -> AsyncGenerator[Visit]:
        """Serve one request of a conversation, also while other processes serve others of it.

        Leaving ends nothing: what runs here goes on, and :meth:`end` ends the conversation.

        Args:
            id: The session's id, stable over requests and processes.
            agent: The agent that has the conversation.
            tenant: Who runs the agent; everything lies inside one tenant.
            caller: Who is on the line; tools of scope ``caller`` need it.
            tools: Tools of this conversation beside the guard's.
            port: The request's door: answers of its calls leave through it, with news that are due.

        Raises:
            StillOwned: A living connection has the conversation.
            DeclarationError: A tool needs a caller and there is none, or the guard only observes.
            StoreError: The session cannot be journaled, or belongs to another tenant or caller.
        """
        await self.open()
        known = {**self._tools, **by_name(tools or ())}
        visit = await self._entrance.visits.visit(id, known, agent=agent, tenant=tenant, caller=caller)
        token = DOOR.set(port)
        try:
            with Desks(visit):
                yield visit
        finally:
            DOOR.reset(token)

    def approve(self, ref: str, *, by: str, yes: bool = True) -> None:
        """Answer as a person for a call of a session in this process whose tool ``needs`` an approval.

        Args:
            ref: The call, as ``conv-42/7``.
            by: Who answers.
            yes: Whether it may be done.

        Raises:
            NotOwned: The session is not in this process; answer where it is.
            AlreadySettled: The call waits for no approval.
            ApprovalImpossible: Only the caller can approve it.
        """
        name = ref.rpartition("/")[0]
        session = self._entrance.sessions.get(name)
        if session is None:
            raise NotOwned(
                "its session is not in this process", ref=ref, advice="Approve it in the process that has it."
            )
        session.approve(ref, by=by, yes=yes)

    async def end(
        self,
        id: str,  # noqa: A002
        *,
        tenant: str = "default",
        why: Literal["hang_up", "shutdown"] = "hang_up",
    ) -> None:
        """End a visited conversation: uncommitted writes of this process are stopped, commits end first.

        Runs of other processes are stopped by them before their commit, as soon as they hear of it.

        Raises:
            UnknownRef: There is no such conversation.
            StillOwned: A living connection has it.
            StoreError: The end cannot be journaled.
        """
        await self.open()
        visit = await self._entrance.visits.visit(
            id, dict(self._tools), agent="", tenant=tenant, caller=None, known_only=True
        )
        await visit.end(why)
