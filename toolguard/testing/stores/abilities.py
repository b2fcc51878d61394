"""What a store's own test can do to its place; what it cannot do is skipped, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from toolguard.stores.base import Store


def cannot(what: str) -> NoReturn:
    """Skip a test, because this store's test has no way to do what it needs."""
    pytest.skip(f"cannot: {what}")


class Trouble:
    """Makes a store's place fail; each test of a store overrides what it can do.

    All but :meth:`damage` are used as ``with trouble.full(store): ...`` and end with the block.
    """

    def full(self, store: Store) -> AbstractContextManager[object]:
        """No room for a record of 100,000 bytes, as on a full disk."""
        del store
        cannot("fill the store's place up")

    def unanswered(self, store: Store) -> AbstractContextManager[object]:
        """Commits land, and the answer is lost on its way; the place can be asked again at once."""
        del store
        cannot("lose the answer to a commit that landed")

    def unsent(self, store: Store) -> AbstractContextManager[object]:
        """Commits fail and do not land; the place can be asked again at once."""
        del store
        cannot("let a commit fail before it lands")

    def gone(self, store: Store) -> AbstractContextManager[object]:
        """The place is gone in the middle of a commit and cannot be asked again."""
        del store
        cannot("take the store's place away")

    def readonly(self) -> Store:
        """A closed handle on the same content that may only read."""
        cannot("open the content for reading alone")

    def damage(self, session: str) -> None:
        """Change a byte of the newest record of a session; no handle is open."""
        del session
        cannot("change stored bytes behind the store's back")
