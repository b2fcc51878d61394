"""Whose server it is, and what its settings do to the promise: refused, named, and no password in any message."""

from pathlib import Path
from typing import Any

import pytest
from contract import append
from redis_house import WAIT, handles, server

from toolguard.core.chain import verify
from toolguard.errors import FeatureMissing, LeaseLost, StoreForeign, StoreFull, StoreUnavailable
from toolguard.stores.base import Receipt
from toolguard.stores.redis import RedisStore
from toolguard.testing.stores.valkey import valkey

__all__ = ["handles", "server"]


@pytest.fixture
def store(handles: Any) -> Any:
    store = handles()
    store.open("p1")
    return store


def test_a_store_of_a_newer_format_is_refused(store: Any, handles: Any) -> None:
    store._link.ask("HSET", f"{store._where.prefix}:meta", "format", "2")
    with pytest.raises(StoreForeign, match="newer format 2") as caught:
        handles().open("p2")
    assert "newer" in caught.value.advice


def test_a_store_keeps_the_chain_key_that_it_was_made_with(handles: Any) -> None:
    store = handles(chain_key=b"secret")
    store.open("p1")
    store.commit([append("conv-1", None, b"a", b"b")])
    assert verify(store.raw("conv-1"), key=b"secret").ok
    assert not verify(store.raw("conv-1")).ok
    for key in (None, b"other"):
        with pytest.raises(StoreForeign, match="another key"):
            handles(chain_key=key).open("p2")


def test_stores_of_two_prefixes_know_nothing_of_each_other(store: Any, server: Any) -> None:
    store.commit([append("conv-1", None, b"a")])
    other = RedisStore(f"{server.url}?prefix={store._where.prefix.strip('{}')}-b", wait=WAIT)
    other.open("p1")
    assert (other.sessions(), other.position(), other.tail(after=0)) == ([], 0, [])
    other.close()
    assert store.alive("p1")


def test_keys_of_another_program_are_not_touched(store: Any, handles: Any) -> None:
    key = f"{store._where.prefix}:meta"
    store._link.ask("DEL", key)
    store._link.ask("SET", key, "theirs")
    with pytest.raises(StoreForeign, match="another program"):
        handles().open("p2")
    assert store._link.ask("GET", key) == b"theirs"


def test_a_name_found_dead_cannot_open_again(store: Any, handles: Any) -> None:
    assert store.bury("p9")
    with pytest.raises(LeaseLost):
        handles().open("p9")
    assert not store.alive("p9")


def test_a_server_that_evicts_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    with valkey(tmp_path / "v", maxmemory="100mb", maxmemory_policy="allkeys-lru") as server:
        store = RedisStore(server.url, wait=WAIT)
        with pytest.raises(StoreForeign, match="maxmemory-policy allkeys-lru") as caught:
            store.open("p1")
        assert "CONFIG SET maxmemory-policy noeviction" in caught.value.advice
        server.restart(maxmemory="0")
        store.open("p1")
        store.close()


def test_a_server_without_room_writes_nothing_and_says_so(tmp_path: Path) -> None:
    with valkey(tmp_path / "v", maxmemory_policy="noeviction") as server:
        store = RedisStore(server.url, wait=WAIT)
        store.open("p1")
        store.commit([append("conv-1", None, b"a")])
        store._link.ask("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreFull) as caught:
            store.commit([append("conv-1", None, b"b"), append("conv-2", None, b"c")])
        assert "room" in str(caught.value)
        store._link.ask("CONFIG", "SET", "maxmemory", "0")
        assert [row.session for row in store.sessions()] == ["conv-1"]
        assert store.commit([append("conv-1", None, b"b")]) == [Receipt(2, 0)]
        store.close()


@pytest.mark.parametrize(
    ("appendfsync", "sentences"),
    [("always", []), ("everysec", ["appendfsync everysec"]), ("no", ["appendfsync no"]), ("", ["appendonly no"])],
)
def test_settings_that_weaken_the_promise_are_named(tmp_path: Path, appendfsync: str, sentences: list[str]) -> None:
    with valkey(tmp_path / "v", appendfsync) as server:
        store = RedisStore(server.url, wait=WAIT)
        store.open("p1")
        told = store.weak()
        assert len(told) == len(sentences)
        assert all(name in sentence and "los" in sentence for name, sentence in zip(sentences, told, strict=True))
        store.close()


def test_a_user_without_config_is_told_what_could_not_be_checked(tmp_path: Path) -> None:
    with valkey(tmp_path / "v") as server:
        owner = RedisStore(server.url, wait=WAIT)
        owner.open("p0")
        owner._link.ask("ACL", "SETUSER", "ana", "on", ">hush-ana", "~*", "&*", "+@all", "-config")
        owner.close()
        store = RedisStore(server.url.replace("//", "//ana:hush-ana@"), wait=WAIT)
        store.open("p1")
        [told] = store.weak()
        assert "CONFIG is forbidden" in told
        assert store.commit([append("conv-1", None, b"a")]) == [Receipt(1, 0)]
        store.close()


def test_the_password_is_in_no_message(tmp_path: Path) -> None:
    with valkey(tmp_path / "v", requirepass="hush-hush") as server:
        store = RedisStore(server.url, wait=WAIT)
        store.open("p1")
        store.close()
        assert "hush" not in store.name
        wrong = RedisStore(server.url.replace("hush-hush", "wrong-hush"), wait=WAIT)
        with pytest.raises(StoreUnavailable, match="does not admit") as refused:
            wrong.open("p1")
        server.stop()
        with pytest.raises(StoreUnavailable, match="cannot be reached") as gone:
            RedisStore(server.url, wait=3).open("p1")
        for caught in (refused, gone):
            assert f"127.0.0.1:{server.port}" in str(caught.value)
            assert "hush" not in str(caught.value)
            assert caught.value.advice


def test_a_request_that_the_server_does_not_know_is_no_damage(store: Any) -> None:
    with pytest.raises(StoreUnavailable, match="refused a request") as caught:
        store._link.ask("NOSUCHWORD")
    assert caught.value.advice
    assert store.alive("p1"), "the connection is as good as before"


def test_without_the_client_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(FeatureMissing, match="not installed") as caught:
        RedisStore("redis://localhost")
    assert "toolguard-voice[redis]" in caught.value.advice


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    store = RedisStore(f"unix://{tmp_path}/none.sock", wait=0.3)
    with pytest.raises(StoreUnavailable, match=r"none\.sock"):
        store.open("p1")
    store.close()
