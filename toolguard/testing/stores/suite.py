"""The conformance suite: a class of tests that anybody subclasses for a store of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

_ROOMS = ("records", "owners", "claims", "leases", "keeping", "kept", "processes", "killed", "troubles", "journal")
pytest.register_assert_rewrite(*(f"toolguard.testing.stores.suite_{room}" for room in _ROOMS))

from toolguard.testing.stores.abilities import Trouble, cannot  # noqa: E402 -- assertions are rewritten before
from toolguard.testing.stores.suite_claims import ClaimRules  # noqa: E402
from toolguard.testing.stores.suite_journal import JournalRules  # noqa: E402
from toolguard.testing.stores.suite_keeping import KeepingRules  # noqa: E402
from toolguard.testing.stores.suite_kept import RetentionRules  # noqa: E402
from toolguard.testing.stores.suite_killed import KillRules  # noqa: E402
from toolguard.testing.stores.suite_leases import LeaseRules  # noqa: E402
from toolguard.testing.stores.suite_owners import OwnerRules  # noqa: E402
from toolguard.testing.stores.suite_processes import ProcessRules  # noqa: E402
from toolguard.testing.stores.suite_records import RecordRules  # noqa: E402
from toolguard.testing.stores.suite_troubles import TroubleRules  # noqa: E402

_LEASE = 600.0  # longer than a slow machine takes for a test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from toolguard.stores.base import Store


class StoreSuite(
    RecordRules,
    OwnerRules,
    ClaimRules,
    LeaseRules,
    KeepingRules,
    RetentionRules,
    ProcessRules,
    KillRules,
    TroubleRules,
    JournalRules,
):
    """Every rule that a store keeps. Subclasses give the fixture ``handles`` and whatever else they can.

    Fixtures to override:

    - ``handles``: a function that makes a closed handle on the same content, which is empty at the test's start.
    - ``place``: what another process needs to open the content (see :mod:`toolguard.testing.stores.child`); None where
      there are no other processes.
    - ``chain_key``: the key of the chains, or None.
    - ``expire``: a function that lets a handle's lease run out, as that of a process that was stopped for too long.
    - ``trouble``: a :class:`~toolguard.testing.stores.abilities.Trouble` that makes the place fail.
    """

    @pytest.fixture
    def place(self) -> str | None:
        """What another process needs to open the content."""
        return None

    @pytest.fixture
    def chain_key(self) -> bytes | None:
        """The key of the chains."""
        return None

    @pytest.fixture
    def expire(self) -> Callable[[Any], None]:
        """Lets a handle's lease run out: by a very short one, where leases end by themselves."""

        def run_out(store: Store) -> None:
            if store.renew(0.05) == float("inf"):
                cannot("let a lease run out: it lasts as long as the process")

        return run_out

    @pytest.fixture
    def trouble(self) -> Trouble:
        """Makes the place fail."""
        return Trouble()

    @pytest.fixture
    def store(self, handles: Callable[[], Store]) -> Iterator[Store]:
        """A handle that is open for ``p1``."""
        store = handles()
        store.open("p1")
        store.renew(_LEASE)
        yield store
        store.close()

    @pytest.fixture
    def other(self, handles: Callable[[], Store], store: Store) -> Iterator[Store]:
        """Another process on the same content, ``p2``."""
        del store  # it comes first
        other = handles()
        other.open("p2")
        other.renew(_LEASE)
        yield other
        other.close()
