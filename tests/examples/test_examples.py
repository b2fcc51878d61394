"""Every example runs, and says what it is there to show."""

import asyncio
import inspect
import subprocess
import sys

import pytest
from examples_kit import EXAMPLES, load

from toolguard.testing.virtual import run_virtual

SAYS = {
    "policy_in_code": ["onset -> hold: a large amount waits", "addition -> hold", "correction -> stop"],
    "approval": [
        '{"toolguard":"needs_approval","call":"rehearsal/1"',
        '"ask":"Shall I charge 4000 cents to your card?"',
        "yes -> done Ana paid 4000\nno -> cancelled 0\nquestion, then yes -> Ana paid 4000",
    ],
    "read_the_trail": ["conv-42/1 charge_deposit", "in_doubt", "conv-42/1 done ch_1 person ana"],
    "hand_off_and_accept": [
        'conv-42/1 find_balance {"patient":"Ana Lund"}: still running',
        "accepted by billing with {'patient': 'Ana Lund', 'verified': True}",
        'tool | {"owes":4000}',
        "[packet_accepted] conv-42",
    ],
    "recover_after_crash": [
        "conv-42/1 charge: probe",
        "in doubt: ('conv-42/1',), carried: 1\nagain: charged 4000\nprobe\ncharges: 1",
    ],
    "committing_inside": ["Booking(slot='Mon 10:00', patient='Ana')\n[stopped] conv-42/2", "booked: [Booking"],
}
PHONES = {
    "pipecat_booking": [
        "caller: no wait, make it Tuesday\ncaller: mm-hmm\nagent: You have Tue 09:00.",
        "conv-42/1 book_slot {'slot': 'Mon 10:00'} cancelled",
        "conv-42/2 book_slot {'slot': 'Tue 09:00'} done",
        "booked: ['Tue 09:00']",
    ],
    "livekit_booking": [
        "agent: You have Tue 09:00.",
        "conv-42/1 book_slot {'slot': 'Mon 10:00'} cancelled",
        "booked: ['Tue 09:00']",
    ],
}
"""Agents with a caller of their own, whose time passes virtually."""
TEST = "own_tool_test.py"
AGENTS = {"clinic_before", "clinic_after"}


@pytest.mark.parametrize("name", SAYS)
def test_the_example_runs(name, monkeypatch, tmp_path, capsys):
    main = load(name, monkeypatch, tmp_path).main
    if inspect.iscoroutinefunction(main):
        asyncio.run(main())
    else:
        main()
    told = capsys.readouterr().out
    assert [words for words in SAYS[name] if words not in told] == []


@pytest.mark.parametrize("name", PHONES)
def test_the_phone_agent_answers_its_caller(name, monkeypatch, tmp_path, capsys):
    run_virtual(load(name, monkeypatch, tmp_path).main())
    told = capsys.readouterr().out
    assert [words for words in PHONES[name] if words not in told] == []


def test_the_test_of_a_tool_passes():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-W",
        "error",
        "--rootdir",
        str(EXAMPLES),
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run([*command, str(EXAMPLES / TEST)], capture_output=True, text=True, check=False, timeout=60)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_every_example_is_run():
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        TEST,
        *(f"{name}.py" for name in (*SAYS, *PHONES, *AGENTS)),
    }
