"""An agent hands a running call to an agent of another framework in another process; the caller notices nothing of it."""

import contextlib
import json

import pytest
from process_children import child, ended, wait_for
from process_frameworks import SAID, desk
from process_reading import Journal, lines

from toolguard.core import records as r

WAYS = [("livekit", "pipecat"), ("pipecat", "livekit")]


@pytest.fixture(params=WAYS, ids="-".join)
def desks(request, tmp_path):
    """Begins two processes with a tool between them, up to the first request of the second one's model."""
    running = []

    def begin(tool):
        for framework, place in zip(request.param, ("first", "second"), strict=True):
            running.append(child(desk, str(tmp_path), framework, place, tool))
        wait_for(tmp_path / "accepted")
        return (*running, *json.loads((tmp_path / "accepted").read_text()))

    yield begin
    for process in running:
        with contextlib.suppress(ValueError):  # it has ended, as it should
            process.kill()


def told(home):
    """What the second model was told of the call that it made again."""
    wait_for(home / "told")
    return json.loads((home / "told").read_text())


def accepted(home):
    with Journal(home) as journal:
        verdict = journal.verify("conv")
        assert verdict.ok, verdict.sentence
        return [(one.agent, one.same_process) for one in journal.records("conv", r.Accepted)]


def test_h1_h2_what_has_committed_ends_where_it_runs_and_the_next_model_reads_its_result(desks, tmp_path):
    first, second, agent, facts, shown = desks("send")
    assert (agent, facts) == ("billing", {"patient": "Ana"})
    assert SAID in shown
    assert "still_running" in shown
    for gate in ("go.send.ana", "go.sent.ana"):
        (tmp_path / gate).touch()
    assert "send for ana" in told(tmp_path)
    (tmp_path / "leave").touch()
    assert [one["pid"] for one in lines(tmp_path, "ana", "acting")] == [first.pid]
    assert (ended(first), ended(second)) == (0, 0)
    assert accepted(tmp_path) == [("billing", False)]


def test_h1_what_has_not_committed_goes_on_in_the_next_process(desks, tmp_path):
    first, second, *_ = desks("reserve")
    wait_for(tmp_path / f"at.reserve.ana.{second.pid}")
    (tmp_path / f"go.reserve.ana.{first.pid}").touch()
    (tmp_path / f"go.reserve.ana.{second.pid}").touch()
    assert "reserve for ana" in told(tmp_path)
    (tmp_path / "leave").touch()
    assert [one["pid"] for one in lines(tmp_path, "ana", "acting")] == [second.pid]
    assert (ended(first), ended(second)) == (0, 0)
    assert accepted(tmp_path) == [("billing", False)]
