"""The store on Redis or Valkey keeps every rule of the contract, against a real server."""

from typing import Any

import pytest
from contract import StoreContract
from redis_house import handles, server

__all__ = ["handles", "server"]


class TestRedisStore(StoreContract):
    @pytest.fixture
    def place(self, handles: Any) -> Any:
        return handles.place

    def test_it_is_called_from_a_thread(self, store: Any) -> None:
        assert store.threaded
