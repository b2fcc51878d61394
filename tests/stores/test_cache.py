"""Cached reads are fresh for as long as was said, may vanish at any time, and never run what a row brings."""

import io
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from toolguard.errors import StoreDamaged, StoreForeign, StoreUnavailable
from toolguard.stores.cache import MemoryCache, ReadCache


class Clock:
    """Time that tests move."""

    now = 1_000.0

    def __call__(self) -> Any:
        return self.now


@pytest.fixture(params=["disk", "memory"])
def cache_and_wait(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        clock = Clock()

        def wait(seconds: float) -> None:
            clock.now += seconds

        cache: Any = MemoryCache(clock)
        yield cache, wait
        cache.close()
        return
    with freeze_time("2026-01-01", ignore=["sqlite3"]) as frozen:
        cache = ReadCache(tmp_path / "cache")
        yield cache, frozen.tick
        cache.close()


def test_a_value_is_there_until_it_is_not_fresh_any_more(cache_and_wait: Any) -> None:
    cache, wait = cache_and_wait
    assert cache.get("slots/monday") is None
    cache.put("slots/monday", b"[9, 10]", 30)
    assert cache.get("slots/monday") == b"[9, 10]"
    wait(29)
    assert cache.get("slots/monday") == b"[9, 10]"
    wait(2)
    assert cache.get("slots/monday") is None


def test_an_empty_value_is_a_value(cache_and_wait: Any) -> None:
    cache, _ = cache_and_wait
    cache.put("nothing found", b"", 30)
    assert cache.get("nothing found") == b""


def test_a_newer_value_takes_the_place_of_an_older_one(cache_and_wait: Any) -> None:
    cache, wait = cache_and_wait
    cache.put("k", b"old", 10)
    wait(5)
    cache.put("k", b"new", 10)
    wait(8)
    assert cache.get("k") == b"new"


def test_nothing_is_kept_for_no_time(cache_and_wait: Any) -> None:
    cache, _ = cache_and_wait
    cache.put("k", b"v", 0)
    cache.put("l", b"v", -1)
    assert (cache.get("k"), cache.get("l")) == (None, None)


def test_the_memory_cache_keeps_the_newest(cache_and_wait: Any) -> None:
    cache = MemoryCache(Clock(), entries=2)
    for key in ("a", "b", "a", "c"):
        cache.put(key, key.encode(), 10)
    assert [cache.get(key) for key in ("a", "b", "c")] == [b"a", None, b"c"]


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Any]:
    cache = ReadCache(tmp_path / "cache")
    yield cache
    cache.close()


def row(cache: Any, sql: str, *values: Any) -> Any:
    conn = sqlite3.connect(cache.path / "cache.db", isolation_level=None)
    rows = conn.execute(sql, values).fetchall()
    conn.close()
    return rows


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("in_a_file", [False, True])
def test_a_planted_pickle_is_refused_and_does_not_run(cache: Any, tmp_path: Path, in_a_file: bool) -> None:
    cache.put("k", b"v", 30)
    pickled = pickle.dumps(Bomb(tmp_path / "ran"))
    if in_a_file:
        (cache.path / "planted.val").write_bytes(pickled)
        row(cache, "UPDATE Cache SET mode = 4, value = NULL, filename = 'planted.val'")
    else:
        row(cache, "UPDATE Cache SET mode = 4, value = ?", pickled)
    with pytest.raises(StoreDamaged, match="did not write") as caught:
        cache.get("k")
    assert "delete it" in caught.value.advice
    assert not (tmp_path / "ran").exists()
    pickle.load(io.BytesIO(pickled))  # noqa: S301 -- the bomb is live
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("mode", [2, 3])
def test_a_row_that_names_another_file_is_refused(cache: Any, tmp_path: Path, mode: int) -> None:
    (tmp_path / "private").write_text("secret")
    cache.put("k", b"v", 30)
    row(cache, "UPDATE Cache SET mode = ?, value = NULL, filename = '../private'", mode)
    with pytest.raises(StoreDamaged):
        cache.get("k")


def test_replacing_a_row_that_names_another_file_does_not_delete_it(cache: Any, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("secret")
    cache.put("k", b"v", 30)
    row(cache, "UPDATE Cache SET filename = '../private'")
    cache.put("k", b"w", 30)
    assert (tmp_path / "private").exists()
    assert cache.get("k") == b"w"


def test_a_planted_pickled_key_is_refused(cache: Any, tmp_path: Path) -> None:
    cache.put("k", b"v", 30)
    row(cache, "UPDATE Cache SET raw = 0, key = ?", pickle.dumps(Bomb(tmp_path / "ran")))
    assert cache.get("k") is None
    with pytest.raises(ValueError, match="pickled"):
        list(cache._cache)
    assert not (tmp_path / "ran").exists()


def test_values_are_bytes_and_keys_are_text(cache: Any) -> None:
    with pytest.raises(TypeError):
        cache.put("k", {"not": "bytes"}, 30)
    with pytest.raises(TypeError):
        cache.put(("k",), b"v", 30)


def test_large_values_stay_in_the_one_file(cache: Any) -> None:
    cache.put("k", b"x" * 1_000_000, 30)
    assert cache.get("k") == b"x" * 1_000_000
    assert {path.name for path in cache.path.iterdir()} <= {"cache.db", "cache.db-wal", "cache.db-shm"}


def test_only_this_user_can_read_it(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    cache = ReadCache(tmp_path / "cache")
    cache.put("k", b"v", 30)
    assert stat.S_IMODE(cache.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in cache.path.iterdir()} == {0o600}
    cache.close()


def test_a_full_cache_lets_the_oldest_go_and_keeps_the_rest(tmp_path: Path) -> None:
    """Evicted rows leave room: a cache that once was full does not empty itself."""
    cache = ReadCache(tmp_path / "cache", room=100_000)
    for turn in range(300):
        cache.put(f"k{turn}", b"x" * 1_000, 3600)
    assert cache.get("k299") == b"x" * 1_000
    assert cache.get("k0") is None
    assert 50 <= row(cache, "SELECT count(*) FROM Cache")[0][0] <= 100
    cache.close()


def test_another_process_shares_it(cache: Any) -> None:
    cache.put("k", b"from here", 30)
    script = (
        "import sys; from toolguard.stores.cache import ReadCache; cache = ReadCache(sys.argv[1]);"
        "print(cache.get('k').decode()); cache.put('l', b'from there', 30); cache.close()"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(cache.path)], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "from here\n"
    assert cache.get("l") == b"from there"


def test_it_works_from_a_worker_thread(cache: Any) -> None:
    def work() -> None:
        cache.put("k", b"v", 30)
        cache.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert cache.get("k") == b"v"


def test_a_file_that_is_no_database_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"diary " * 1000)
    with pytest.raises(StoreUnavailable, match="not a database"):
        ReadCache(tmp_path)


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolguard.stores.cache.network_filesystem", lambda _: "cifs")
    with pytest.raises(StoreForeign, match="cifs"):
        ReadCache(tmp_path / "cache")
