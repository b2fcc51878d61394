"""Where the policies live, what they import, and that asking them does nothing but answer."""

import ast
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from policy_makers import ALL_CALLS, ALL_INTERRUPTS

import toolguard.policies
from toolguard.core.decision import Decision
from toolguard.core.policy import Policy
from toolguard.policies import (
    as_inworld,
    as_livekit,
    as_pipecat,
    by_effect,
    by_tool,
    first_of,
    grace,
    settings,
    strictest,
)

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "policies").glob("*.py"))
ALLOWED = ("toolguard.core", "toolguard.errors", "toolguard.policies")


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, path
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_policies_import_only_the_core_and_the_errors(path: Path) -> None:
    """The wall of the house: beside the standard library only pydantic, and that in the settings alone."""
    for name in _imports(path):
        if name.split(".")[0] == "toolguard":
            assert any(name == wall or name.startswith(f"{wall}.") for wall in ALLOWED), name
        elif name.split(".")[0] not in sys.stdlib_module_names:
            assert (path.name, name) == ("settings.py", "pydantic")
        assert name.split(".")[0] not in {"asyncio", "time", "logging", "socket", "subprocess", "random"}


def test_policies_cannot_be_imported_under_another_name() -> None:
    """In a checkout the folder is importable as ``policies``; that would be a second copy of everything."""
    done = subprocess.run(
        [sys.executable, "-c", "import policies"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ImportError: import it as toolguard.policies" in done.stderr


def test_every_exported_name_is_there() -> None:
    assert sorted(toolguard.policies.__all__, key=str) == sorted(set(toolguard.policies.__all__))
    for name in toolguard.policies.__all__:
        assert hasattr(toolguard.policies, name)


ALL_POLICIES = [
    by_effect(),
    as_pipecat(),
    as_livekit(),
    as_inworld(),
    grace(1),
    by_tool({"book": Decision.hold()}, otherwise=by_effect()),
    settings({"tools": {"book": {"onset": "stop"}}}),
    first_of(by_effect(), grace(1)),
    strictest(by_effect(), grace(1)),
]


@pytest.mark.parametrize("policy", ALL_POLICIES, ids=lambda policy: policy.__name__)
def test_a_policy_opens_nothing_and_answers_alike_in_any_order(policy: Policy) -> None:
    """A policy is a pure function: no file, socket or process while it answers, no memory of what was asked."""
    seen: list[str] = []
    watching = True
    sys.addaudithook(lambda event, _args: seen.append(event) if watching else None)
    asked = list(product(ALL_CALLS, ALL_INTERRUPTS))
    forwards = [policy(one, interrupt) for one, interrupt in asked]
    backwards = [policy(one, interrupt) for one, interrupt in reversed(asked)]
    watching = False
    assert forwards == backwards[::-1]
    assert {event for event in seen if event.split(".")[0] in {"open", "socket", "subprocess", "os", "import"}} == set()
