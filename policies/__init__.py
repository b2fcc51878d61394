"""Policies: what becomes of a call when the caller speaks, the line drops or the conversation moves on."""

if __name__ != "toolguard.policies":
    raise ImportError("import it as toolguard.policies: this folder is shipped under that name and no other")

from toolguard.core.policy import Policy
from toolguard.policies.columns import Column, Row, column, row
from toolguard.policies.combine import by_tool, first_of, strictest
from toolguard.policies.effects import by_effect, from_table
from toolguard.policies.frameworks import as_inworld, as_livekit, as_pipecat
from toolguard.policies.grace import grace
from toolguard.policies.settings import settings
from toolguard.policies.table import TABLE, Cell, as_markdown

__all__ = [
    "TABLE",
    "Cell",
    "Column",
    "Policy",
    "Row",
    "as_inworld",
    "as_livekit",
    "as_markdown",
    "as_pipecat",
    "by_effect",
    "by_tool",
    "column",
    "first_of",
    "from_table",
    "grace",
    "row",
    "settings",
    "strictest",
]
