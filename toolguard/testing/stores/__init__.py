"""What a store is judged by: a suite of tests for any store, a differential test, and servers to run them on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolguard.testing.stores.abilities import Trouble as Trouble
    from toolguard.testing.stores.suite import StoreSuite as StoreSuite

_WHERE = {"StoreSuite": "suite", "Trouble": "abilities"}


def __getattr__(name: str) -> Any:
    """Import the suite only where somebody asks for it: it needs pytest, the servers do not."""
    if name in _WHERE:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
