"""``toolguard resolve``, ``pause`` and ``resume`` do what a person decided, and nothing on bad use."""

import asyncio

import pytest
from cli_house import application, bad, die, good, objects, run

from audit_house import TOOLS, charge, made  # isort: skip
from toolguard import Guard
from toolguard.errors import Refused

EVIDENCE = ("--evidence", "the dashboard", "--by", "ana")


@pytest.fixture
def home(tmp_path):
    return made(tmp_path / "journal")


def test_a_call_in_doubt_is_settled_as_happened_with_its_result(home):
    said = good("resolve", "conv-1/3", "--happened", '{"id": "ch_1"}', *EVIDENCE, "--store", home)
    assert said.startswith("conv-1/3 charge is done, says ana.")
    (call,) = objects("audit", "conv-1/3", "--store", home)
    assert (call["result"], call["source"], call["evidence"], call["by"]) == (
        {"id": "ch_1"},
        "person",
        "the dashboard",
        "ana",
    )


def test_a_call_in_doubt_is_settled_as_not_happened(home):
    (call,) = objects("resolve", "conv-1/3", "--did-not-happen", *EVIDENCE, "--store", home)
    assert (call["phase"], call["code"]) == ("failed", "did_not_happen")
    line = bad("resolve", "conv-1/3", "--happened", "null", *EVIDENCE, "--store", home)
    assert line.startswith("[already_settled] conv-1/3: charge is failed already, says the person. The first evidence")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["conv-1/3", *EVIDENCE], "[bad_use] conv-1/3: say either --happened or --did-not-happen."),
        (["conv-1/3", "--happened", "1", "--did-not-happen", *EVIDENCE], "[bad_use] conv-1/3: say either"),
        (["conv-1/3", "--happened", "ch_1", *EVIDENCE], "[bad_use] conv-1/3: --happened takes the result as JSON"),
        (["conv-1/3", "--happened", "1", "--by", "ana"], "[evidence_missing] conv-1/3: the finding does not say"),
        (["conv-1/3", "--happened", "1", "--evidence", "x"], "[evidence_missing] conv-1/3: nobody stands for"),
        (
            ["conv-1/2", "--happened", "1", *EVIDENCE],
            "[already_settled] conv-1/2: charge is done already, says the body",
        ),
        (["conv-1/9", "--happened", "1", *EVIDENCE], "[unknown_ref] conv-1/9"),
        (["conv-1", "--happened", "1", *EVIDENCE], "[unknown_ref] conv-1: this is no ref of a call."),
        ([], "[bad_use] Missing argument 'REF'."),
    ],
)
def test_bad_use_settles_nothing_and_is_one_line(home, args, words):
    assert bad("resolve", *args, "--store", home).startswith(words)
    assert [one["ref"] for one in objects("audit", "--phase", "in_doubt", "--store", home)] == ["conv-1/3"]


def test_with_an_application_the_result_takes_the_tools_own_type(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = application(tmp_path)
    die(tmp_path, name, "charge", "conv-1")
    assert run("recover", "conv-1", "--app", f"{name}:guard").exit_code == 1
    (call,) = objects("resolve", "conv-1/1", "--happened", '{"charge":"ch_1"}', *EVIDENCE, "--app", f"{name}:make")
    assert call["result"] == {"charge": "ch_1"}


def test_a_paused_tool_is_refused_in_every_process_until_it_is_resumed(home):
    async def call(who):
        async with Guard(home, tools=TOOLS) as guard, guard.session("conv-2"):
            return await charge(who)

    assert "charge is paused" in good("pause", "charge", "--by", "ana", "--reason", "fraud", "--store", home)
    with pytest.raises(Refused, match="fraud"):
        asyncio.run(call("zoe"))
    assert "charge is on again" in good("resume", "charge", "--store", home)
    assert asyncio.run(call("eve")) == "ch_eve"


def test_pausing_needs_a_name_and_a_journal(home, tmp_path):
    assert bad("pause", "charge", "--store", home).startswith("[bad_use] nobody pauses charge. Give --by")
    for command in (["pause", "charge", "--by", "ana"], ["resume", "charge"]):
        assert bad(*command, "--store", tmp_path / "nowhere").startswith("[store_foreign] there is no journal in")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("app", ["nomodule:guard", "json", "json:nothing", "json:dumps", ":x", "json:decoder"])
def test_an_application_that_cannot_be_loaded_is_named(app):
    assert bad("resume", "charge", "--app", app).startswith(f"[bad_use] --app {app} ")
