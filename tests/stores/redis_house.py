"""One real Valkey server for all tests of a test process; each test has a prefix, hence a store, of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolguard.stores.redis import RedisStore
from toolguard.testing.stores.valkey import valkey

WAIT = 30.0
_numbers = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def handles(server: Any) -> Iterator[Any]:
    """Makes closed handles on one store that nobody else uses; what a test leaves open is closed."""
    server.start()
    made: list[RedisStore] = []
    prefix = f"t{os.getpid()}-{next(_numbers)}"

    def make(**more: Any) -> RedisStore:
        made.append(RedisStore(server.url, prefix=prefix, **{"wait": WAIT, **more}))
        return made[-1]

    make.place = f"{server.url}?prefix={prefix}"
    yield make
    for store in made:
        store.close()


def killed(folder: Path) -> Any:
    """A server of a test's own, which may be killed."""
    return valkey(folder)
