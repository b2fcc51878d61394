"""From a transcript to comparable tokens: case, accents and punctuation are folded away."""

from __future__ import annotations

import re
import unicodedata

_ACCENTS = dict.fromkeys(range(0x0300, 0x0370))
_NOT_SPEECH = re.compile(r"\[[^\]]{0,40}\]|\([^)]{0,40}\)|<[^>]{0,40}>|\*[^*]{1,40}\*")
_DIGITS = {0x0966 + digit: str(digit) for digit in range(10)}
_TOKEN = re.compile(
    r"\d{1,2}[:h]\d{2}(?![\d:])|\d+(?:[.,]\d+)*|[^\W\d_\u0900-\u097f]+|[\u0900-\u0963\u0970-\u097f]+|[$€£₹]"
)


def fold(text: str) -> str:
    """Fold case, width and accents; marks of scripts that need them (Devanagari) stay."""
    if text.isascii():
        return text.casefold()
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return folded.translate(_ACCENTS).translate(_DIGITS)


def tokens(text: str) -> list[str]:
    """The words, numbers and clock times of a text; what stands in brackets (``[noise]``) is no speech."""
    return _TOKEN.findall(_NOT_SPEECH.sub(" ", fold(text)))
