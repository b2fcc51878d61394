"""A LiveKit agent hands a running call to a Pipecat agent in another process; the caller notices nothing of that."""

import contextlib
import json

import pytest
from process_children import child, ended, wait_for
from process_frameworks import SAID, livekit_desk, pipecat_desk
from process_reading import Journal, lines

from toolguard.core import records as r


@pytest.fixture
def desks(tmp_path):
    """Two processes that are about to begin, by the tool that is running when the conversation changes hands."""
    running = []

    def begin(tool):
        running.extend((child(livekit_desk, str(tmp_path), tool), child(pipecat_desk, str(tmp_path), tool)))
        wait_for(tmp_path / "accepted")
        return (*running, *json.loads((tmp_path / "accepted").read_text()))

    yield begin
    for process in running:
        with contextlib.suppress(ValueError):  # it has ended, as it should
            process.kill()


def told(home):
    """What billing's model was shown last."""
    wait_for(home / "told")
    return json.loads((home / "told").read_text())[-1]


def accepted(home):
    with Journal(home) as journal:
        verdict = journal.verify("conv")
        assert verdict.ok, verdict.sentence
        return [(one.agent, one.same_process) for one in journal.records("conv", r.Accepted)]


def test_h1_h2_what_has_committed_on_livekit_ends_there_and_pipecats_model_reads_its_result(desks, tmp_path):
    livekit, pipecat, agent, facts, first = desks("send")
    assert (agent, facts) == ("billing", {"patient": "Ana"})
    assert any(one["role"] == "user" and one["content"] == SAID for one in first)
    assert "still_running" in str(first)
    for gate in ("go.send.ana", "go.sent.ana"):
        (tmp_path / gate).touch()
    shown = told(tmp_path)
    (tmp_path / "leave").touch()
    assert (ended(livekit), ended(pipecat)) == (0, 0)
    assert len(lines(tmp_path, "ana", "acting")) == len(lines(tmp_path, "ana", "did")) == 1
    assert "send for ana" in next(one["content"] for one in shown if one.get("tool_call_id") == "again")
    assert accepted(tmp_path) == [("billing", False)]


def test_h1_what_has_not_committed_on_livekit_goes_on_in_pipecats_process(desks, tmp_path):
    livekit, pipecat, *_ = desks("reserve")
    wait_for(tmp_path / f"at.reserve.ana.{pipecat.pid}")
    (tmp_path / f"go.reserve.ana.{livekit.pid}").touch()
    (tmp_path / f"go.reserve.ana.{pipecat.pid}").touch()
    shown = told(tmp_path)
    (tmp_path / "leave").touch()
    acted = lines(tmp_path, "ana", "acting")
    assert [one["pid"] for one in acted] == [pipecat.pid]
    assert (ended(livekit), ended(pipecat)) == (0, 0)
    assert "reserve for ana" in next(one["content"] for one in shown if one.get("tool_call_id") == "again")
    assert accepted(tmp_path) == [("billing", False)]
