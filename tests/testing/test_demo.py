"""The demo: the same call three times, and an exit code that tells whether the guard kept its promises."""

import json
import subprocess
import sys

import pytest

from toolguard.engine.gate import Gate
from toolguard.testing.demo import main
from toolguard.testing.demo.heard import agent_speech, silences
from toolguard.testing.realtime import Frame


def played(capsys, *argv):
    code = main([*argv, "--act", "1", "--json"])
    return code, json.loads(capsys.readouterr().out)["act_1"]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    home = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-W", "error", "-m", "toolguard.testing.demo", "--act", "1", "--store", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    return done, home


def test_it_prints_the_table_and_the_timeline_and_succeeds(report):
    done, home = report
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("charges made / wanted", "3 / 1", "1 / 1", "the guard would have", "passes the point of no return"):
        assert words in done.stdout
    assert f"toolguard audit demo-enforced --store {home / 'journal'}" in done.stdout
    assert "Traceback" not in done.stderr
    assert "playing the call: enforced" in done.stderr


def test_the_ledgers_outside_say_the_same(report):
    _, home = report
    naive = [json.loads(line) for line in (home / "ledger-naive.jsonl").read_text().splitlines()]
    enforced = [json.loads(line) for line in (home / "ledger-enforced.jsonl").read_text().splitlines()]
    assert [(one["what"], one.get("day")) for one in naive] == [
        ("charge", "Monday"),
        ("charge", "Tuesday"),
        ("charge", "Tuesday"),
        ("text", None),
    ]
    assert [(one["what"], one["day"]) for one in enforced] == [("charge", "Tuesday")]
    assert len(enforced[0]["key"]) == 32


def test_the_three_runs_differ_as_they_should(report, capsys):
    _, home = report
    code, told = played(capsys, "--store", str(home))
    assert code == 0
    naive, observed, enforced = (told["runs"][how] for how in ("naive", "observed", "enforced"))
    numbers = ("charges", "wrong_effects", "untold", "disorder", "refused", "talked_over")
    assert {name: naive[name] for name in numbers} == {name: observed[name] for name in numbers}
    assert naive["charges"] == 3
    assert len(naive["wrong_effects"]) == 3
    assert naive["untold"] == ["the free slots"]
    assert (naive["refused"], naive["talked_over"], len(naive["disorder"])) == (1, 1, 1)
    assert naive["dead_air"] > 5
    assert enforced["broken"] == []
    assert enforced["dead_air"] < 2
    assert [one["what"] for one in told["would_have"]] == ["held", "stopped", "held", "joined", "not run"]
    assert enforced["session"] == "demo-enforced-2", "a second demo in the same directory is a second session"


def test_it_fails_where_an_invariant_does_not_hold(monkeypatch, capsys, tmp_path):
    async def open_gate(self, run, attempt):
        return None

    monkeypatch.setattr(Gate, "passing", open_gate)
    code, told = played(capsys, "--store", str(tmp_path))
    assert code == 1
    assert "Monday charged" in told["runs"]["enforced"]["wrong_effects"]


def test_it_explains_itself(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert "--real-time" in out
    assert "--act {1,2}" in out


def frames(*events):
    return [Frame(at, event) for at, event in events]


def audio(at, item, milliseconds, words):
    piece = "A" * (milliseconds * 48 * 4 // 3)
    yield at, {"type": "response.output_audio_transcript.delta", "item_id": item, "delta": words}
    yield at, {"type": "response.output_audio.delta", "item_id": item, "delta": piece}


def test_what_waits_behind_an_answer_is_not_heard_when_the_caller_cuts_in():
    cut = {"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 0}
    first, second = agent_speech(frames(*audio(0.0, "a", 1000, "one two"), *audio(0.5, "b", 1000, "three"), (0.6, cut)))
    assert (first.end, first.heard) == (0.6, "one ")
    assert (second.seconds, second.heard) == (0.0, "")


def test_silence_is_what_lies_between_two_stretches_of_speech():
    turn = [
        (0.0, {"type": "input_audio_buffer.speech_started", "item_id": "u"}),
        (1.0, {"type": "input_audio_buffer.speech_stopped", "item_id": "u"}),
    ]
    assert silences(frames(*turn, *audio(3.5, "a", 1000, "yes"))) == [(1.0, 2.5)]
    assert silences([]) == []
