"""``python -m toolguard.testing.stores PLACE`` says of any store which rules it keeps, in words and in JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from redis_house import handles, server

from toolguard.stores.memory import MemoryStore

__all__ = ["handles", "server"]


class Leaky(MemoryStore):
    """Snapshots of one session show up in another."""

    def snapshot(self, session: str) -> Any:
        kept = list(self._shelf.snapshots.values())
        return kept[-1]._replace(session=session) if kept else None


LEAKY: dict[str, Leaky] = {}


def leaky(word: str) -> Leaky:
    """A handle on the content of that name."""
    other = Leaky()
    other._shelf = LEAKY.setdefault(word, other)._shelf
    return other


def command(*words: str) -> Any:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "toolguard.testing.stores", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_a_store_that_keeps_the_rules_is_told_rule_by_rule(tmp_path: Path) -> None:
    done = command(str(tmp_path), "--only", "lease that ran out")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "cannot  a lease that ran out refuses only what asks for it: let a lease run out" in lines[0]
    assert lines[-1] == f"disk:{tmp_path}: 0 rules kept, 0 broken, 2 not to be found out here"
    assert list(tmp_path.iterdir()) == [], "it takes away what it made"


def test_a_store_that_breaks_a_rule_is_told_with_the_reason(tmp_path: Path) -> None:
    done = command("factory:test_stores_command:leaky", "--only", "belongs to its session alone", "--json")
    [line] = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, line["rule"], line["state"]) == (1, "a snapshot belongs to its session alone", "broken")
    assert "Snapshot" in line["why"]


def test_a_server_is_judged_beside_what_it_holds(handles: Any) -> None:
    store = handles()
    store.open("p1")
    store.enter("conv-1", "t", at=1)
    done = command(handles.place.partition("?")[0], "--only", "snapshot", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert {json.loads(line)["state"] for line in done.stdout.splitlines()} == {"kept"}
    assert [row.session for row in store.sessions()] == ["conv-1"]


def test_what_cannot_be_judged_is_said_in_one_line() -> None:
    for words in (
        ["ftp://there"],
        ["valkey://127.0.0.1:1/0"],
        ["memory", "--only", "no such rule"],
        ["factory:nowhere:x"],
    ):
        done = command(*words)
        assert done.returncode == 2
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        assert "Traceback" not in done.stderr
    shown = command("--help").stdout
    assert "--only" in shown
    assert "factory:" in shown
