"""Words of strangers made safe for a terminal: one line, no control characters, nothing that turns the text around."""

from __future__ import annotations

LIMIT = 160
"""Characters that are shown of somebody's words."""


def plain(text: str) -> str:
    """One printable line: controls, line breaks, bidirectional and invisible characters become escapes."""
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def cut(text: str, limit: int = LIMIT) -> str:
    """The beginning of a long text, with its length."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def quoted(text: str, limit: int = LIMIT) -> str:
    """Somebody's words between quotation marks that they cannot close themselves."""
    body = plain(text[:limit].replace("\\", "\\\\").replace('"', '\\"'))
    return f'"{body}"' if len(text) <= limit else f'"{body}..." ({len(text)} characters)'


def _escaped(character: str) -> str:
    short = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short is not None:
        return short
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004
