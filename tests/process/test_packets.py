"""A packet goes from one process to another: what runs is done once, whoever dies, whoever comes second."""

import json

import pytest
from process_children import Actor, wait_for
from process_reading import Journal, lines

from toolguard.core import records as r


@pytest.fixture
def home(tmp_path):
    return tmp_path


@pytest.fixture
def pair(home):
    """Two processes; the first one has the conversation."""
    one, two = Actor(home), Actor(home)
    one.do("enter", "conv")
    yield one, two
    for actor in (one, two):
        if actor.alive:
            actor.kill()


def records(home, kind):
    with Journal(home) as journal:
        verdict = journal.verify("conv")
        assert verdict.ok, verdict.sentence
        return [record for record in journal.records("conv") if isinstance(record, kind)]


def call_of(packet, tool):
    return next(call for call in json.loads(packet)["calls"] if call["tool"] == tool)


def test_h1_an_uncommitted_write_goes_on_in_the_next_process_and_never_in_the_old_one(home, pair):
    one, two = pair
    first = one.start("call", "conv", "reserve", "ana")
    wait_for(home / f"at.reserve.ana.{one.pid}")
    packet = one.do("hand_off", "conv", "billing")
    assert call_of(packet, "reserve")["state"] == "running"
    assert two.do("accept", packet) == "billing"
    (home / f"go.reserve.ana.{one.pid}").touch()
    assert one.answer(first)[0] in {"Fenced", "ToolFailed", "SessionClosed"}
    assert lines(home, "ana", "acting") == []
    wait_for(home / f"at.reserve.ana.{two.pid}")
    (home / f"go.reserve.ana.{two.pid}").touch()
    two.do("until", "conv", "done")
    two.end()
    one.end()
    assert len(lines(home, "ana", "acting")) == len(lines(home, "ana", "did")) == 1
    assert [(one.agent, one.same_process) for one in records(home, r.Accepted)] == [("billing", False)]


def test_h1_a_commit_stays_with_the_old_process_and_its_evidence_reaches_the_next_one(home, pair):
    one, two = pair
    first = one.start("call", "conv", "send", "ana")
    wait_for(home / "at.send.ana")
    packet = one.do("hand_off", "conv", "billing")
    assert two.do("accept", packet) == "billing"
    for gate in ("send", "sent"):
        (home / f"go.{gate}.ana").touch()
    assert one.answer(first) == "send for ana"
    two.do("until", "conv", "done")
    assert call_of(two.do("packet", "conv"), "send")["result"] == "send for ana"
    assert two.do("call", "conv", "send", "ana") == "send for ana"
    two.end()
    one.end()
    assert len(lines(home, "ana", "acting")) == 1


def test_a_process_that_is_killed_after_the_hand_off_takes_nothing_with_it(home, pair):
    one, two = pair
    assert one.do("call", "conv", "charge", "ana") == "charge for ana"
    one.do("keep", "conv", name="Simon", order=77)
    one.start("call", "conv", "reserve", "ben")
    wait_for(home / f"at.reserve.ben.{one.pid}")
    packet = one.do("hand_off", "conv", "billing")
    one.kill()
    assert two.do("accept", packet) == "billing"
    (home / f"go.reserve.ben.{two.pid}").touch()
    two.do("until", "conv", "done")
    assert two.do("call", "conv", "charge", "ana") == "charge for ana"
    assert json.loads(two.do("packet", "conv"))["facts"] == {"name": "Simon", "order": 77}
    two.end()
    assert len(lines(home, "ana", "acting")) == len(lines(home, "ben", "acting")) == 1


def test_h2_of_two_processes_that_accept_one_packet_one_gets_it_and_is_not_disturbed(home, pair):
    one, two = pair
    packet = one.do("hand_off", "conv", "billing")
    three = Actor(home)
    tags = [(actor, actor.start("accept", packet)) for actor in (two, three)]
    answers = {actor.pid: actor.answer(tag) for actor, tag in tags}
    (got,) = [actor for actor, _ in tags if answers[actor.pid] == "billing"]
    (lost,) = [answer for answer in answers.values() if answer != "billing"]
    assert lost[0] == "PacketAccepted", lost
    assert got.do("call", "conv", "charge", "ana") == "charge for ana"
    for actor in (two, three, one):
        actor.end()
    assert len(records(home, r.Accepted)) == 1


def test_a_packet_that_was_accepted_by_a_process_that_died_is_recovered_and_not_accepted_again(home, pair):
    one, two = pair
    packet = one.do("hand_off", "conv", "billing")
    assert two.do("accept", packet) == "billing"
    two.kill()
    name, text = one.do("accept", packet)
    assert name == "PacketAccepted"
    assert "guard.recover" in text
    one.end()
