"""The suite on the store that an address names: what ``python -m toolguard.testing.stores`` runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from toolguard.stores.memory import MemoryStore
from toolguard.testing.stores.abilities import cannot
from toolguard.testing.stores.child import opener
from toolguard.testing.stores.differential import run
from toolguard.testing.stores.fresh import fresh
from toolguard.testing.stores.stream import KINDS
from toolguard.testing.stores.suite import StoreSuite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from toolguard.stores.base import Store

PLACE = "TOOLGUARD_TEST_PLACE"
"""The environment variable that says where; the command sets it."""


class TestStore(StoreSuite):
    """Every rule, on the store that the command was told."""

    @pytest.fixture
    def beside(self) -> Iterator[str]:
        """Content of this test's own."""
        with fresh(os.environ[PLACE]) as place:
            yield place

    @pytest.fixture
    def place(self, beside: str) -> str | None:
        """What another process needs to open it; memory has no other processes."""
        return None if beside.startswith("memory") else beside

    @pytest.fixture
    def handles(self, beside: str) -> Callable[[], Store]:
        """Makes closed handles on it."""
        return MemoryStore().twin if beside.startswith("memory") else lambda: opener(beside)

    @pytest.fixture
    def expire(self, beside: str) -> Callable[[Store], None]:
        """Lets a lease run out: the memory store's by a call, others by a very short one."""

        def run_out(store: Store) -> None:
            if isinstance(store, MemoryStore):
                store.expire()
            elif store.renew(0.05) == float("inf"):
                cannot("let a lease run out: it lasts as long as the process")

        del beside
        return run_out

    @pytest.mark.parametrize("seed", [1, 2])
    def test_a_seeded_stream_leaves_it_equal_to_the_oracle(self, seed: int, handles: Callable[[], Store]) -> None:
        done = run({"the store": handles}, seed=seed, steps=150)
        assert set(done.succeeded) == set(KINDS)
