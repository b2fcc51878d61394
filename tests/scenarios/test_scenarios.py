"""Every scenario over every adapter on virtual time, and the completeness of the kit itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import toolguard
from toolguard.testing.scenarios import __main__ as command
from toolguard.testing.scenarios.data import collection
from toolguard.testing.scenarios.drivers import ADAPTERS, guarded, naive
from toolguard.testing.scenarios.hooks import HOOKS
from toolguard.testing.scenarios.judge import Judge
from toolguard.testing.scenarios.kit import CHECKS, SABOTEURS, VARIANTS, Saboteur, discover
from toolguard.testing.scenarios.places import Kind, Places
from toolguard.testing.scenarios.sabotage import sabotage

WRITTEN = discover()
STORIES = [one.id for one in collection().scenario]
PACKAGE = Path(toolguard.__file__).parent.parent


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("story", WRITTEN)
def test_scenario_holds(story: str, adapter: str) -> None:
    lasting = any("second_process" in CHECKS[one].needs for one in CHECKS if one.startswith(f"{story}."))
    result = Judge(guarded(adapter), "disk" if lasting else "memory").judge(story)
    wrong = [f"{one.assertion} {one.status}: {one.why}" for one in result.outcomes if one.status in {"failed", "error"}]
    assert not wrong, "\n".join(wrong)
    missing = [one.why for one in result.outcomes if one.status == "not applicable"]
    assert result.checked or all("lacks the hook" in why for why in missing), f"nothing of it was checked: {missing}"


@pytest.fixture(scope="module")
def places() -> Iterator[Callable[[Kind], Places]]:
    """Places of every kind; a server is started with the first play on it."""
    with ExitStack() as stack:
        made: dict[Kind, Places] = {}

        def of(kind: Kind) -> Places:
            if kind not in made:
                made[kind] = stack.enter_context(Places(kind))
            return made[kind]

        yield of


@pytest.mark.parametrize("kind", ["disk", "redis", "postgres"])
@pytest.mark.parametrize("story", ["S02", "S04", "S11", "S12", "S13", "S14", "S16", "S20"])
def test_scenario_holds_on_every_store(story: str, kind: Kind, places: Callable[[Kind], Places]) -> None:
    result = Judge(guarded("openai_realtime"), places(kind)).judge(story)
    assert [f"{one.assertion}: {one.why}" for one in result.outcomes if one.status != "passed"] == []


@pytest.mark.parametrize(
    ("story", "fails"),
    [
        ("S01", {"S01.1", "S01.2"}),
        ("S02", {"S02.2", "S02.3"}),
        ("S03", {"S03.1", "S03.3"}),
        ("S04", {"S04.2"}),
        ("S05", {"S05.1", "S05.3"}),
        ("S06", {"S06.2", "S06.4"}),
        ("S07", {"S07.1", "S07.2", "S07.3", "S07.4"}),
        ("S08", {"S08.2", "S08.3", "S08.4"}),
        ("S09", {"S09.1"}),
        ("S10", {"S10.1", "S10.2", "S10.3", "S10.4"}),
        ("S11", {"S11.1", "S11.2", "S11.3", "S11.5"}),
        ("S12", {"S12.1", "S12.2", "S12.3", "S12.4"}),
        ("S13", {"S13.1", "S13.2", "S13.4"}),
        ("S15", {"S15.1", "S15.4"}),
        ("S16", {"S16.2", "S16.3"}),
        ("S17", {"S17.1", "S17.3"}),
        ("S18", {"S18.4", "S18.5"}),
        ("S19", {"S19.1", "S19.3"}),
        ("S20", {"S20.1", "S20.2", "S20.3"}),
        ("S21", {"S21.1", "S21.2", "S21.4"}),
        ("S22", {"S22.1"}),
    ],
)
def test_naive_application_fails_as_reported(story: str, fails: set[str]) -> None:
    result = Judge(naive("openai_realtime"), "memory").judge(story)
    found = {one.assertion for one in result.outcomes if one.status in {"failed", "error"}}
    assert fails <= found


@pytest.mark.parametrize(
    ("story", "fails"),
    [
        ("S01", {"S01.3"}),
        ("S02", {"S02.2", "S02.3"}),
        ("S04", {"S04.2"}),
        ("S05", {"S05.1", "S05.3"}),
        ("S07", {"S07.1", "S07.2"}),
        ("S08", {"S08.4"}),
        ("S09", {"S09.1", "S09.4"}),
        ("S10", {"S10.1", "S10.3"}),
        ("S11", {"S11.3"}),
        ("S12", {"S12.1", "S12.2"}),
        ("S17", {"S17.1", "S17.3"}),
        ("S18", {"S18.1", "S18.4"}),
        ("S22", {"S22.1"}),
    ],
)
def test_naive_livekit_application_fails_as_reported(story: str, fails: set[str]) -> None:
    result = Judge(naive("livekit"), "memory").judge(story)
    found = {one.assertion for one in result.outcomes if one.status in {"failed", "error"}}
    assert fails <= found


def test_there_are_22_scenarios_with_91_assertions() -> None:
    assert [f"S{number:02}" for number in range(1, 23)] == STORIES
    assert sum(len(one.must) for one in collection().scenario) == 91
    assert list(collection().invariants) == [f"I{number:02}" for number in range(1, 25)]


def test_every_assertion_has_one_check_with_a_saboteur_or_a_reason() -> None:
    for story in collection().scenario:
        if story.later:
            assert story.id not in WRITTEN
        elif story.id in WRITTEN:
            for assertion in story.must:
                assert assertion in CHECKS, f"{assertion} has no check"
                assert CHECKS[assertion].saboteurs, f"{assertion} has no saboteur"
    known = {assertion for story in collection().scenario for assertion in story.must}
    assert set(CHECKS) <= known


def test_checks_name_variants_and_hooks_that_there_are() -> None:
    for check in CHECKS.values():
        for name in check.plays:
            assert name == "main" or (check.id.partition(".")[0], name) in VARIANTS, f"{check.id}: {name}"
        assert set(check.needs) <= set(HOOKS)


def test_every_variant_is_judged_by_some_check() -> None:
    judged = {(check.id.partition(".")[0], name) for check in CHECKS.values() for name in check.plays}
    assert set(VARIANTS) <= judged


def test_saboteurs_fit_the_code() -> None:
    texts: dict[str, str] = {}
    for check in CHECKS.values():
        others = [one for (_, assertion), one in SABOTEURS.items() if assertion == check.id]
        for one in (*check.saboteurs.values(), *others):
            text = texts.setdefault(one.file, (PACKAGE / one.file).read_text())
            assert text.count(one.old) == 1, f"{check.id}: {one.old!r} occurs {text.count(one.old)} times in {one.file}"
            assert one.new != one.old


def test_every_invariant_is_covered_by_a_scenario() -> None:
    covered = {name for story in collection().scenario for name in story.invariants}
    assert covered == set(collection().invariants)


def test_scenario_whose_process_dies_needs_a_store_that_does_not() -> None:
    result = Judge(guarded("openai_realtime"), "memory").judge("S14")
    assert [(one.status, one.why) for one in result.outcomes] == [
        ("not applicable", "the memory store dies with its process")
    ] * 4


def test_saboteur_is_noticed() -> None:
    done = sabotage(Judge(guarded("openai_realtime")), "openai_realtime", only=["S02.2"])
    assert [(one.assertion, one.noticed) for one in done] == [("S02.2", True)]


def test_saboteur_that_changes_nothing_or_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    check = CHECKS["S02.1"]
    harmless = Saboteur("toolguard/core/outbox.py", old='"""Ordered delivery, pure:', new='"""Delivery in order, pure:')
    strange = Saboteur("toolguard/core/outbox.py", old="there is no such line", new="")
    judge = Judge(guarded("openai_realtime"))
    for one, why in ((harmless, "passed"), (strange, "occurs 0 times")):
        monkeypatch.setitem(CHECKS, "S02.1", dataclasses.replace(check, saboteurs={"": one}))
        done = sabotage(judge, "openai_realtime", only=["S02.1"])
        assert not done[0].noticed
        assert why in done[0].why


def test_command_prints_the_table_and_the_naive_column(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--scenario", "S02", "S14", "--store", "memory"]) == 0
    printed = capsys.readouterr().out
    assert "4 of 91 assertions checked, 4 hold" in printed
    assert ".2 .3 .4" in printed
    assert "the memory store dies with its process" in printed


def test_command_prints_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--scenario", "S02", "--store", "memory", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [one["status"] for one in data["results"][0]["outcomes"]] == ["passed"] * 4
    assert "failed" in {one["status"] for one in data["naive"][0]["outcomes"]}
