"""The demo's second act: real workers, a real SIGKILL, and promises that are counted where they are kept or broken."""

import json
import subprocess
import sys

import pytest

from toolguard.testing.demo import main
from toolguard.testing.demo.second import judge as judging
from toolguard.testing.demo.second.act import perform
from toolguard.testing.demo.second.judge import Findings, Journal
from toolguard.testing.stores.valkey import valkey

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    home = tmp_path_factory.mktemp("act-2")
    command = [sys.executable, "-W", "error", "-m", "toolguard", "demo", "--act", "2", "--json", "--store", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(json.loads(done.stdout)) == ["act_2"]
    return home, json.loads(done.stdout)["act_2"]["runs"]


def test_the_guarded_call_keeps_its_promises(told):
    _, runs = told
    guarded = runs["guarded"]
    assert guarded["broken"] == []
    numbers = ("charges", "look_ups", "asked_again", "untold", "told_twice", "unanswered", "invalid", "killed")
    assert [guarded[name] for name in numbers] == [1, 1, 0, [], [], [], [], True]


def test_the_naive_call_charges_twice_and_loses_the_look_up(told):
    _, runs = told
    naive = runs["naive"]
    assert (naive["charges"], naive["look_ups"], naive["asked_again"], naive["killed"]) == (2, 2, 1, True)
    assert [one.split()[0] for one in naive["unanswered"]] == ["find_balance", "charge_card"]
    assert naive["broken"]


def test_the_ledgers_outside_say_the_same(told):
    home, _ = told
    guarded, naive = (
        [json.loads(line) for line in (home / f"act-2-ledger-{how}.jsonl").read_text().splitlines()]
        for how in ("guarded", "naive")
    )
    assert [one["what"] for one in guarded] == ["looked_up", "charge"]
    assert len(guarded[1]["key"]) == 32
    assert [one["what"] for one in naive] == ["looked_up", "looked_up", "charge", "charge"]


def test_the_journal_tells_the_hand_off_the_kill_and_the_probe(told):
    _, runs = told
    guarded, journal = runs["guarded"], runs["guarded"]["journal"]
    session = guarded["session"]
    assert journal["hand_offs"] == ["frontdesk -> billing"]
    assert journal["carried"] == [f"{session}/1 find_balance"]
    assert (journal["epochs"], journal["settled_by"], journal["charged"]) == (2, "probe", 1)
    found = journal["recovery"]
    assert found["in_doubt"] == found["probed"] == [f"{session}/3 charge_card"]
    assert found["calls_carried"] == 1
    assert found["gap_ms"] > 0
    assert journal["again"] == [f"{session}/4: in_doubt, answered in_doubt"]
    assert [step.split(":")[0] for step in guarded["plan"]] == [f"{session}/3 charge_card"]
    owners = {line.split()[1] for line in journal["timeline"] if line.split()[1] in {"e1", "e2"}}
    assert owners == {"e1", "e2"}


def test_the_packet_says_what_the_caller_waits_for(told):
    _, runs = told
    assert f"The caller waits for find_balance ({runs['guarded']['session']}/1)" in runs["guarded"]["packet"]


def test_it_prints_a_short_story_and_where_to_read_on(tmp_path, capsys):
    assert main(["--act", "2", "--store", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for words in ("2 / 1", "1 / 1", "is killed before its answer comes", "settled by: probe", "handed off from"):
        assert words in out
    assert "charges made / wanted" in out
    assert f"--store {tmp_path / 'journal'} --timeline" in out


def test_it_works_on_a_server(tmp_path):
    """Where nobody can see at once that a process is dead, its lease has to run out first."""
    with valkey(tmp_path / "valkey", appendonly="yes", appendfsync="always") as server:
        guarded = perform(tmp_path, server.url)[-1]
    assert guarded.findings.broken == []
    assert guarded.findings.charges == 1
    recovery = guarded.findings.journal.recovery
    assert recovery["in_doubt"] + recovery["followed"] == [f"{guarded.call.session}/3 charge_card"]


def kept(**changed):
    journal = Journal(
        epochs=2,
        carried=["demo/1 find_balance"],
        recovery={"in_doubt": ["demo/3 charge_card"]},
        settled_by="probe",
        charged=1,
    )
    given = {
        "charges": 1, "look_ups": 1, "asked_again": 0, "untold": [], "told_twice": [], "unanswered": [],
        "invalid": [], "killed": True, "gap": 1.0, "journal": journal,
    }  # fmt: skip
    return Findings(**{**given, **changed})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"charges": 2}, "one charge was wanted, 2 were made"),
        ({"told_twice": ["the charge"]}, "told more than once: the charge"),
        ({"untold": ["the balance"]}, "never told: the balance"),
        ({"unanswered": ["charge_card c"]}, "calls without an output: charge_card c"),
        ({"killed": False}, "the first worker was not killed"),
        ({"journal": Journal()}, "the charge was settled by nobody"),
    ],
)
def test_every_promise_can_be_broken(changed, says):
    assert kept().broken == []
    assert says in kept(**changed).broken


def test_it_fails_where_a_promise_is_broken(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(judging.Findings, "broken", property(lambda _self: ["one charge was wanted, 2 were made"]))
    assert main(["--act", "2", "--store", str(tmp_path)]) == 1
    assert "BROKEN: one charge was wanted, 2 were made" in capsys.readouterr().out
