"""What a docstring says about a tool and its parameters: Google, NumPy and Sphinx style."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_ARGS = {"args", "arguments", "parameters", "params", "keyword args", "keyword arguments", "other parameters"}
_OTHER = {
    "returns", "return", "raises", "raise", "yields", "yield", "examples", "example", "note", "notes", "warning",
    "warnings", "attributes", "see also", "references", "todo", "warns", "methods",
}  # fmt: skip
_SPHINX = re.compile(r":(?P<kind>[a-z]+)(?:\s+(?P<what>[^:]*?))?:(?:\s+(?P<text>.*))?$")
_SPHINX_ARGS = {"param", "parameter", "arg", "argument", "key", "keyword"}
_GOOGLE = re.compile(r"\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?\s*:(?P<text>.*)$")
_NUMPY = re.compile(r"(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")


class About(NamedTuple):
    """The description of a tool, and that of each parameter that the docstring explains."""

    summary: str
    parameters: dict[str, str]


def read_docstring(doc: str | None) -> About:
    """Read a docstring: what stands before its sections, and the parameters that it explains."""
    if not doc:
        return About("", {})
    reader = _Reader(inspect.cleandoc(doc).splitlines())
    reader.run()
    summary = re.sub(r"\n{3,}", "\n\n", "\n".join(reader.summary)).strip()
    return About(summary, {name: _join(lines) for name, lines in reader.found.items()})


def _join(lines: Iterable[str]) -> str:
    return " ".join(" ".join(lines).split())


class _Reader:
    """One pass over the lines; knows in which section it is, and which parameter is being explained."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.summary: list[str] = []
        self.found: dict[str, list[str]] = {}
        self.section = "summary"
        self.entry = -1
        self.open: list[list[str]] = []

    def run(self) -> None:
        skip = False
        for number, line in enumerate(self.lines):
            if skip:
                skip = False
                continue
            if self._sphinx(line):
                continue
            underlined = self._underlined(number)
            if self._header(line, underlined=underlined):
                skip = underlined
                continue
            self._body(line)

    def _underlined(self, number: int) -> bool:
        following = self.lines[number + 1].strip() if number + 1 < len(self.lines) else ""
        return len(following) > 2 and set(following) <= {"-"}  # noqa: PLR2004 - a rule, not a dash

    def _header(self, line: str, *, underlined: bool) -> bool:
        title = line.strip().rstrip(":").lower()
        if line[:1].isspace() or (title not in _ARGS and title not in _OTHER):
            return False
        if not underlined and not line.rstrip().endswith(":"):
            return False
        style = "numpy" if underlined else "google"
        self.section = style if title in _ARGS else "other"
        self.entry, self.open = -1, []
        return True

    def _sphinx(self, line: str) -> bool:
        match = _SPHINX.match(line)
        if match is None:
            return False
        self.section, self.entry, self.open = "sphinx", 0, []
        words = (match["what"] or "").split()
        if match["kind"] in _SPHINX_ARGS and words:
            self._begin([words[-1]], match["text"] or "")
        return True

    def _body(self, line: str) -> None:
        if self.section == "summary":
            self.summary.append(line)
            return
        if self.section == "other" or not line.strip():
            return
        indent = len(line) - len(line.lstrip())
        if self.section == "sphinx":
            if indent == 0:
                self.open = []
            self._more(line)
            return
        if self.entry < 0:
            self.entry = indent
        if indent > self.entry:
            self._more(line)
        elif indent < self.entry:
            self.section = "other"
        else:
            self._name(line.strip())

    def _name(self, text: str) -> None:
        match = (_NUMPY if self.section == "numpy" else _GOOGLE).match(text)
        if match is None:
            self._more(text)
        elif self.section == "numpy":
            self._begin(match["names"].split(","), "")
        else:
            self._begin([match["name"]], match["text"])

    def _begin(self, names: Iterable[str], text: str) -> None:
        self.open = [self.found.setdefault(name.strip().lstrip("*"), []) for name in names]
        self._more(text)

    def _more(self, text: str) -> None:
        for lines in self.open:
            lines.append(text.strip())
