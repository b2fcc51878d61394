"""One stream of operations through the stores and an oracle: equal answers and equal state after every step."""

from pathlib import Path
from typing import Any

import pytest
from redis_house import handles, server

from toolguard.stores.base import Receipt
from toolguard.stores.disk import DiskStore
from toolguard.stores.memory import MemoryStore
from toolguard.testing.stores.differential import Differs, run
from toolguard.testing.stores.stream import KINDS

__all__ = ["handles", "server"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_memory_and_disk_are_equal_to_the_oracle_after_every_step(seed: int, tmp_path: Path) -> None:
    print(f"seed={seed}")
    done = run({"memory": MemoryStore().twin, "disk": lambda: DiskStore(tmp_path / "journal")}, seed=seed, steps=250)
    assert set(done.succeeded) == set(KINDS)
    assert done.steps >= 250


@pytest.mark.parametrize("seed", [11, 12])
def test_all_four_stores_are_equal_to_the_oracle_after_every_step(
    seed: int, tmp_path: Path, handles: Any, postgres_handles: Any
) -> None:
    print(f"seed={seed}")
    four = {
        "memory": MemoryStore().twin,
        "disk": lambda: DiskStore(tmp_path / "journal"),
        "valkey": handles,
        "postgres": postgres_handles,
    }
    done = run(four, seed=seed, steps=120)
    assert set(done.succeeded) == set(KINDS)
    assert done.steps >= 120


class Careless(MemoryStore):
    """A store that answers a late owner as if it still were the owner."""

    def commit(self, batch: Any) -> Any:
        return [
            answer if isinstance(answer, Receipt) else Receipt(1, 1)
            for answer in super().commit([append._replace(epoch=None) for append in batch])
        ]


class Forgetful(MemoryStore):
    """A store that takes the claims away with the journal."""

    def prune(self, before: int, *, limit: int = 100) -> list[str]:
        gone = super().prune(before, limit=limit)
        if gone:
            self._shelf.claims.clear()
        return gone


@pytest.mark.parametrize("wrong", [Careless, Forgetful])
def test_a_store_that_breaks_a_rule_differs_at_the_same_step_every_time(wrong: type[MemoryStore]) -> None:
    def handles() -> Any:
        shelf = wrong()

        def twin() -> MemoryStore:
            other = wrong()
            other._shelf = shelf._shelf
            return other

        return twin

    with pytest.raises(Differs, match="seed=5") as first:
        run({"right": MemoryStore().twin, "wrong": handles()}, seed=5, steps=400)
    with pytest.raises(Differs) as second:
        run({"wrong": handles()}, seed=5, steps=first.value.steps)
    assert second.value.steps == first.value.steps
    assert "wrong differs" in str(first.value)
    if first.value.steps > 1:
        with pytest.raises(Differs) as longer:
            run({"wrong": handles()}, seed=5, steps=first.value.steps - 1)
        assert longer.value.steps == first.value.steps, "no shorter beginning of the stream differs"
