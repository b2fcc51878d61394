"""A disk store in a directory of its own, open for one process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolguard.stores.disk import DiskStore
from toolguard.stores.postgres import PostgresStore
from toolguard.testing.stores.postgres import postgres


@pytest.fixture
def home(tmp_path: Path) -> Any:
    return tmp_path / "journal"


@pytest.fixture
def store(home: Path) -> Iterator[Any]:
    store: Any = DiskStore(home)
    store.open("p1")
    yield store
    store.close()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real server, one for each of pytest's workers."""
    with postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def postgres_place(postgres_server: Any) -> Any:
    """An address with a schema of the test's own."""
    postgres_server.start()
    return f"{postgres_server.url}&schema=s{uuid.uuid4().hex[:12]}"


@pytest.fixture
def postgres_handles(postgres_place: Any) -> Any:
    """Makes closed handles on the same content."""
    return lambda **more: PostgresStore(postgres_place, **{"wait": 20.0, **more})
