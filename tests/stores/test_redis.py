"""The store on Redis or Valkey keeps every rule of the contract, against a real server and over a line that fails."""

from collections.abc import Iterator
from typing import Any

import pytest
from contract import StoreContract
from redis_house import WAIT, handles, server
from redis_proxy import Proxy
from server_trouble import RedisTrouble

from toolguard.stores.redis import RedisStore

__all__ = ["handles", "server"]


class TestRedisStore(StoreContract):
    @pytest.fixture
    def place(self, handles: Any) -> Any:
        return handles.place

    @pytest.fixture
    def proxy(self, handles: Any) -> Iterator[Any]:
        proxy = Proxy(handles.place)
        yield proxy
        proxy.close()

    @pytest.fixture
    def store(self, proxy: Any) -> Iterator[Any]:
        store = RedisStore(proxy.url, wait=WAIT)
        store.open("p1")
        store.renew(600)
        yield store
        proxy.down = False
        store.close()

    @pytest.fixture
    def trouble(self, proxy: Any) -> Any:
        return RedisTrouble(proxy)

    def test_it_is_called_from_a_thread(self, store: Any) -> None:
        assert store.threaded
