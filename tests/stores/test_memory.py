"""The memory store keeps every rule of the contract."""

from typing import Any

import pytest
from contract import StoreContract, append

from toolguard.core.chain import verify
from toolguard.core.frame import unpack
from toolguard.errors import StoreDamaged
from toolguard.stores.memory import MemoryStore
from toolguard.testing.stores import Trouble


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def handles(self) -> Any:
        return MemoryStore().twin

    @pytest.fixture
    def expire(self) -> Any:
        return MemoryStore.expire

    @pytest.fixture
    def trouble(self, store: Any) -> Any:
        class Shelves(Trouble):
            def damage(self, session: str) -> None:
                journal = store._shelf.journals[session]
                journal[-1] = journal[-1][:-33] + bytes([journal[-1][-33] ^ 1]) + journal[-1][-32:]

        return Shelves()

    def test_it_may_be_called_on_the_loop(self, store: Any) -> None:
        assert store.threaded is False
        assert store.name == "memory"

    def test_it_chains_with_its_key(self) -> None:
        store = MemoryStore(chain_key=b"secret")
        store.open("p")
        store.commit([append("conv-1", None, b"a", b"b")])
        rows = store.raw("conv-1")
        assert verify(rows, key=b"secret").ok
        assert not verify(rows).ok
        assert unpack(rows[0][1]).payload == b"a"

    def test_a_changed_record_is_not_read(self, store: Any) -> None:
        store.commit([append("conv-1", None, b"a", b"b")])
        store._shelf.journals["conv-1"][1] = b"nonsense"
        with pytest.raises(StoreDamaged) as caught:
            store.read("conv-1")
        assert caught.value.ref == "conv-1"
        assert "record 2" in str(caught.value)
