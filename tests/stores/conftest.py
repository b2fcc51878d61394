"""A disk store in a directory of its own, open for one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from toolguard.stores.disk import DiskStore


@pytest.fixture
def home(tmp_path: Path) -> Any:
    return tmp_path / "journal"


@pytest.fixture
def store(home: Path) -> Iterator[Any]:
    store: Any = DiskStore(home)
    store.open("p1")
    yield store
    store.close()
