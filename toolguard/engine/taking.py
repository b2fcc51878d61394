"""Taking a session over in the store: at the epoch that was expected, and only from an owner that may lose it (T2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from toolguard.core.law import Phase
from toolguard.core.plan import RecoveryReport
from toolguard.errors import Fenced, StillOwned

if TYPE_CHECKING:
    from toolguard.core.state import State
    from toolguard.stores.base import SessionRow, Store


class Taking(NamedTuple):
    """How a session is taken.

    Attributes:
        expects: The epoch at which it has to stand; None for any.
        take: Also from a process that is alive (a live connection does so).
        at: When the plan that is carried out was made, in wall nanoseconds; 0 for now.
        sweep: It is taken to be put away.
        cause: Why, where the caller knows better than the store.
    """

    expects: int | None = None
    take: bool = True
    at: int = 0
    sweep: bool = False
    cause: str = ""


ANYHOW = Taking()
"""As a live connection takes a session: from whoever has it (T2)."""


class Entered(NamedTuple):
    """A session that was taken.

    Attributes:
        row: As it stands now.
        before: As it stood before; None for a new one.
        owner_lives: Whether its previous owner, another process, is alive.
        now: The store's time, in wall nanoseconds.
    """

    row: SessionRow
    before: SessionRow | None
    owner_lives: bool
    now: int

    @property
    def doubtful(self) -> bool:
        """Whether the store may have lost acknowledged records of it."""
        return self.row.doubtful or (self.before is not None and self.before.doubtful)


def take(store: Store, session: str, tenant: str, at: int, how: Taking) -> Entered:
    """Take a session over; on the store's side.

    Raises:
        StillOwned: Its owner lives and may not lose it.
        Fenced: It belongs to another tenant, or somebody else was first.
    """
    before = store.session(session)
    owner = before.owner if before is not None else ""
    lives = bool(owner) and not store.bury(owner)
    if lives and not how.take:
        raise still_owned(session, owner)
    row = store.enter(session, tenant, at=at, expects=how.expects)
    if row.tenant != tenant:
        raise Fenced("it belongs to another tenant", ref=session, advice="Use another id.")
    return Entered(row, before, lives, store.now())


def still_owned(session: str, owner: str) -> StillOwned:
    """The refusal to recover a session whose owner lives."""
    return StillOwned(
        f"process {owner} has it and is alive",
        ref=session,
        advice="Leave it to that process, or take it away from it with take=True (toolguard recover --take).",
        process=owner,
    )


def committing_elsewhere(state: State) -> frozenset[str]:
    """The processes that were committing something when the journal ended."""
    runs = (state.runs[number] for number in state.open_runs)
    return frozenset(run.process for run in runs if run.phase is Phase.COMMITTING and run.process)


def begun(entered: Entered, gap: float, cause: str) -> RecoveryReport:
    """What is known of a recovery before anything is done."""
    before = entered.before
    owner = before.owner if before is not None else ""
    if not cause:
        cause = "taken over from a living process" if entered.owner_lives else "its process died"
        cause = cause if owner else "its process had left it"
    return RecoveryReport(
        session=entered.row.session,
        cause=cause,
        gap_ms=gap * 1e3,
        epoch_before=before.epoch if before is not None else 0,
        epoch=entered.row.epoch,
        previous_owner=owner,
    )
