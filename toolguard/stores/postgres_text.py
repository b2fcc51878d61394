r"""How texts are written into PostgreSQL, which holds every character but NUL.

NUL becomes ``\x01\x01`` and ``\x01`` becomes ``\x01\x02``; everything else is written as it is. Order by code points
and prefixes stay what they were, so that the server can compare, sort and search what is written.
"""

from __future__ import annotations

KEY_LIMIT = 2_000
"""Bytes that a session's id, a claim's key or a note's key may have: PostgreSQL's indexes hold no longer ones."""


def written(text: str) -> str:
    """The text as it is written down."""
    if "\0" in text or "\1" in text:
        return text.replace("\1", "\1\2").replace("\0", "\1\1")
    return text


def unwritten(text: str) -> str:
    """The text as it was."""
    if "\1" in text:
        return text.replace("\1\1", "\0").replace("\1\2", "\1")
    return text


def checked(key: str) -> str:
    """A key as it is written down.

    Raises:
        ValueError: It is too long, or no text at all (a lone surrogate; ``UnicodeError`` is a ``ValueError``).
    """
    key = written(key)
    size = len(key) if key.isascii() else len(key.encode())
    if size > KEY_LIMIT:
        raise ValueError(f"an id or key of {size} bytes is over the limit of {KEY_LIMIT}")
    return key
