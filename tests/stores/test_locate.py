"""What people write where a store is asked for."""

from pathlib import Path
from typing import Any

import pytest

from toolguard.errors import StoreForeign
from toolguard.stores.disk import DiskStore
from toolguard.stores.locate import store_from
from toolguard.stores.memory import MemoryStore
from toolguard.stores.postgres import PostgresStore
from toolguard.stores.redis import RedisStore


@pytest.mark.parametrize("place", ["memory", "memory:"])
def test_memory(place: Any) -> None:
    assert isinstance(store_from(place), MemoryStore)


def test_a_directory_plain_or_named(tmp_path: Path) -> None:
    for place in (str(tmp_path / "j"), f"disk:{tmp_path}/j", tmp_path / "j"):
        store = store_from(place)
        assert isinstance(store, DiskStore)
        assert store.path == tmp_path / "j"
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("s3://bucket", "s3://"),
    ],
)
def test_an_address_of_an_unknown_kind_is_refused(place: Any, kind: Any) -> None:
    with pytest.raises(StoreForeign, match=kind) as caught:
        store_from(place)
    assert caught.value.code == "store_foreign"
    assert "directory" in caught.value.advice


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_a_redis_or_valkey_server_with_a_prefix_and_without_its_password(scheme: Any) -> None:
    store = store_from(f"{scheme}://ana:hush%20hush@cache.example:6380/2?prefix=agents")
    assert isinstance(store, RedisStore)
    assert store.name == f"{scheme}://cache.example:6380/2"
    assert store._where.prefix == "{agents}"
    assert store._where.url == f"{scheme.replace('valkey', 'redis')}://ana:hush%20hush@cache.example:6380/2"
    assert store._where.hide("said hush hush, or hush%20hush") == "said ***, or ***"


@pytest.mark.parametrize(
    "place", ["redis://:hush@host:port", "redis://:hush@host/zero", "valkey://:hush@host?prefix=", "redis://[::1"]
)
def test_a_servers_address_that_cannot_be_read_is_refused_and_not_repeated(place: Any) -> None:
    with pytest.raises(StoreForeign) as caught:
        store_from(place)
    assert caught.value.advice
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "PostgreSQL"])
def test_an_address_of_postgresql_with_a_schema(scheme: Any) -> None:
    store = store_from(f"{scheme}://app:secret@db:5433/agents?schema=night&sslmode=require")
    assert isinstance(store, PostgresStore)
    assert store.place == (
        "postgresql://app:secret@db:5433/agents?sslmode=require",
        '"night"',
        "postgresql://app@db:5433/agents?sslmode=require&schema=night",
    )
    assert store.name == store.place.shown


@pytest.mark.parametrize("place", ["", "disk:"])
def test_an_empty_place_is_refused(place: Any) -> None:
    with pytest.raises(StoreForeign, match="empty"):
        store_from(place)
