"""The walls of the house: imports run strictly downward, the core is pure, rooms stay small."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLOORS = {
    "errors": 1, "core": 2, "tools": 3, "stores": 3, "listen": 3, "audit": 3, "render": 3, "policies": 3,
    "engine": 4, "adapters": 5, "testing": 5, "cli": 5, "observe": 5,
}  # fmt: skip
IMPURE = {"asyncio", "threading", "time", "os", "io", "socket", "sqlite3", "loguru", "random", "secrets", "subprocess"}
LINES, FUNCTION_LINES = 320, 70


def modules() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for top, prefix in (("toolguard", "toolguard"), ("policies", "toolguard.policies")):
        for path in sorted((ROOT / top).rglob("*.py")):
            if "policies" in path.relative_to(ROOT).parts[1:]:
                continue
            parts = list(path.relative_to(ROOT / top).with_suffix("").parts)
            name = ".".join([prefix, *parts]).removesuffix(".__init__")
            found[name] = path
    return found


MODULES = modules()


def imported(name: str, *, run_time_only: bool = False) -> set[str]:
    tree = ast.parse(MODULES[name].read_text())
    skipped: set[ast.AST] = set()
    if run_time_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                skipped.update(child for stmt in node.body for child in ast.walk(stmt))
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def room(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_run_strictly_downward(name: str) -> None:
    """No room imports from a floor above it, nor from a sibling of its floor (audit may read policies)."""
    here = room(name)
    if here not in FLOORS:
        return
    for target in imported(name) & MODULES.keys():
        there = room(target)
        if there not in FLOORS or there == here:
            continue
        assert FLOORS[there] <= FLOORS[here], f"{name} imports upward: {target}"
        siblings = FLOORS[there] == FLOORS[here] == 3
        assert not siblings or (here, there) == ("audit", "policies"), f"{name} imports its sibling {target}"


def test_there_are_no_circles() -> None:
    """Run-time imports between modules have no circles."""
    graph = {name: (imported(name, run_time_only=True) & MODULES.keys()) - {name, "toolguard"} for name in MODULES}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"circle: {' -> '.join([*path, name])}"
        if name in done:
            return
        for target in graph[name]:
            visit(target, (*path, name))
        done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("name", [n for n in sorted(MODULES) if room(n) == "core"])
def test_the_core_is_pure(name: str) -> None:
    """The core has no asyncio, no clock, no files and no logging: now is an argument."""
    tops = {target.partition(".")[0] for target in imported(name)}
    assert not tops & IMPURE, f"{name} imports {tops & IMPURE}"


@pytest.mark.parametrize("name", [n for n in sorted(MODULES) if room(n) == "policies"])
def test_policies_import_only_core_and_errors(name: str) -> None:
    """A policy is a pure function of the state: its package sees the core and nothing else of ours."""
    for target in imported(name):
        if target.startswith("toolguard."):
            assert room(target) in {"core", "errors", "policies"}, f"{name} imports {target}"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_room_is_small_and_says_what_it_is(name: str) -> None:
    """A file opens with one caption sentence, has at most about 300 lines, and no function above about 60."""
    path = MODULES[name]
    tree = ast.parse(path.read_text())
    caption = ast.get_docstring(tree) or ""
    assert caption, f"{name} has no caption"
    assert caption.splitlines()[0].rstrip().endswith((".", ":")), f"{name}: the caption is no sentence"
    lines = len(path.read_text().splitlines())
    assert lines <= LINES, f"{name} has {lines} lines"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or 0) - node.lineno
            assert length <= FUNCTION_LINES, f"{name}.{node.name} has {length} lines"


def test_no_pickle_anywhere() -> None:
    """Nothing that unpickles is imported on any path."""
    for name in MODULES:
        tops = {target.partition(".")[0] for target in imported(name)}
        assert not tops & {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"}, name


def test_the_package_list_is_the_folders_on_disk() -> None:
    """The explicit package list, which ships policies/ as toolguard.policies, names every package that exists."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(config["tool"]["setuptools"]["packages"])
    found = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    assert listed == found
    assert (ROOT / "toolguard" / "policies").is_symlink()
