"""Who owns a session decides; who has acted may always say what came of it (T1, T4)."""

import signal

import pytest
from process_children import Actor, wait_for
from process_reading import Journal, lines

from toolguard.core import records as r
from toolguard.core.law import Phase


@pytest.fixture
def home(tmp_path):
    return tmp_path


@pytest.fixture
def pair(home):
    """Two processes; the first one has entered the session."""
    one, two = Actor(home), Actor(home)
    one.do("enter", "conv")
    yield one, two
    for actor in (one, two):
        if actor.alive:
            actor.kill()


def records(home):
    with Journal(home) as journal:
        return journal.records("conv")


def behind(found, kind):
    """The records that landed after the second owner's ``opened``."""
    places = [place for place, record in enumerate(found) if isinstance(record, r.Opened)]
    return [record for record in found[places[1] :] if isinstance(record, kind)]


def assert_whole(home, epochs):
    with Journal(home) as journal:
        verdict = journal.verify("conv")
        assert verdict.ok, verdict.sentence
        frames = journal.frames("conv")
        assert [frame.seq for frame in frames] == list(range(1, len(frames) + 1))
        found = [frame.epoch for frame in frames]
        assert found == sorted(found)
        assert set(found) == epochs


class TestFence:
    def test_t1_the_old_owner_may_not_decide_any_more(self, home, pair):
        one, two = pair
        assert one.do("call", "conv", "charge", "ana") == "charge for ana"
        two.do("enter", "conv")
        name, text = one.do("call", "conv", "charge", "ben")
        assert name == "Fenced", text
        assert lines(home, "ben", "acting") == []
        for tool in ("charge", "look", "note"):
            assert one.do("call", "conv", tool, "cleo")[0] == "Fenced"
        assert lines(home, "cleo", "acting") == []
        assert two.do("call", "conv", "charge", "dan") == "charge for dan"
        one.end()
        two.end()
        assert [called.call for called in behind(records(home), r.Called)] == [2]
        assert_whole(home, {1, 2})

    def test_t1_an_unawaited_record_that_was_refused_fences_too(self, home, pair):
        """A read awaits no record; the refusal of its first one still ends this process's say."""
        one, two = pair
        two.do("enter", "conv")
        one.do("call", "conv", "look", "ana")
        one.do("until_fenced", "conv")
        assert one.do("call", "conv", "look", "ana")[0] == "Fenced"
        one.end()
        two.end()
        assert behind(records(home), r.Called) == []

    def test_t1_a_done_mutation_is_not_done_again_by_the_new_owner(self, home, pair):
        one, two = pair
        assert one.do("call", "conv", "charge", "ana") == "charge for ana"
        two.do("enter", "conv")
        assert two.do("call", "conv", "charge", "ana") == "charge for ana"
        assert len(lines(home, "ana", "acting")) == 1

    def test_a_closed_session_that_is_opened_again_goes_on_densely(self, home, pair):
        one, two = pair
        assert one.do("call", "conv", "charge", "ana") == "charge for ana"
        one.end()
        two.do("enter", "conv")
        assert two.do("call", "conv", "charge", "ben") == "charge for ben"
        two.end()
        assert_whole(home, {1, 2})
        with Journal(home) as journal:
            assert list(journal.state("conv").slots) == [1, 2]

    def test_a_killed_owners_session_goes_on_densely(self, home, pair):
        one, two = pair
        for who in ("ana", "ben"):
            assert one.do("call", "conv", "charge", who) == f"charge for {who}"
        one.kill()
        two.do("enter", "conv")
        assert two.do("call", "conv", "charge", "cleo") == "charge for cleo"
        two.end()
        assert_whole(home, {1, 2})


class TestEvidence:
    def begun(self, home, pair):
        """The first owner's mutation is past its commit when the second owner enters."""
        one, two = pair
        call = one.start("call", "conv", "send", "ana")
        wait_for(home / "at.send.ana")
        two.do("enter", "conv")
        assert two.do("phases", "conv") == ["committing"]
        return one, two, call

    def test_t1_what_the_old_owner_has_done_is_evidence_and_the_new_one_folds_it(self, home, pair):
        one, two, call = self.begun(home, pair)
        (home / "go.send.ana").touch()
        (home / "go.sent.ana").touch()
        assert one.answer(call) == "send for ana"
        two.do("until", "conv", "done")
        assert two.do("call", "conv", "send", "ana") == "send for ana"
        one.end()
        two.end()
        assert len(lines(home, "ana", "acting")) == 1
        (returned,) = behind(records(home), r.Returned)
        assert (returned.attempt, returned.source) == (1, "body")
        assert_whole(home, {1, 2})

    def test_h1_until_then_the_same_wish_joins_it(self, home, pair):
        one, two, call = self.begun(home, pair)
        joined = two.start("call", "conv", "send", "ana")
        assert two.waiting(joined, 0.3)
        (home / "go.send.ana").touch()
        (home / "go.sent.ana").touch()
        assert two.answer(joined) == one.answer(call) == "send for ana"
        assert len(lines(home, "ana", "acting")) == 1

    def test_h1_when_its_process_dies_it_is_in_doubt(self, home, pair):
        one, two, _call = self.begun(home, pair)
        joined = two.start("call", "conv", "send", "ana")
        one.kill()
        two.do("until", "conv", "in_doubt")
        assert two.answer(joined)[0] == "InDoubt"
        assert lines(home, "ana", "acting") == []

    def test_h1_when_its_process_dies_its_probe_is_asked(self, home, pair):
        one, two = pair
        one.start("call", "conv", "wire", "ana")
        wait_for(home / "at.wire.ana")
        two.do("enter", "conv")
        assert two.do("phases", "conv") == ["committing"]
        (home / "go.wire.ana").touch()
        wait_for(home / "at.wired.ana")
        one.kill()
        two.do("until", "conv", "done")
        (returned,) = behind(records(home), r.Returned)
        assert (returned.source, len(lines(home, "ana", "acting"))) == ("probe", 1)

    def test_t4_a_stopped_process_that_wakes_says_what_it_did(self, home, pair):
        one, two = pair
        call = one.start("call", "conv", "send", "ana")
        wait_for(home / "at.send.ana")
        one.stop()
        two.do("enter", "conv")
        (home / "go.send.ana").touch()
        (home / "go.sent.ana").touch()
        assert two.do("phases", "conv") == ["committing"]
        one.signal(signal.SIGCONT)
        two.do("until", "conv", "done")
        assert one.answer(call) == "send for ana"
        assert len(lines(home, "ana", "acting")) == 1

    def test_t1_a_process_that_wakes_before_its_commit_does_not_commit(self, home, pair):
        one, two = pair
        call = one.start("call", "conv", "reserve", "ana")
        wait_for(home / f"at.reserve.ana.{one.pid}")
        one.stop()
        two.do("enter", "conv")
        wait_for(home / f"at.reserve.ana.{two.pid}")
        (home / f"go.reserve.ana.{two.pid}").touch()
        two.do("until", "conv", "done")
        (home / f"go.reserve.ana.{one.pid}").touch()
        one.signal(signal.SIGCONT)
        assert one.answer(call)[0] == "Fenced"
        (acting,) = lines(home, "ana", "acting")
        assert acting["pid"] == two.pid
        one.end()
        two.end()
        began = [record for record in records(home) if isinstance(record, r.CommitBegan)]
        assert [record.attempt for record in began] == [2]
        assert_whole(home, {1, 2})

    def test_l5_a_failure_before_the_commit_is_no_evidence_against_the_new_owners_attempt(self, home, pair):
        """What did not commit says nothing about the world: it is the old owner's opinion, and fenced."""
        one, two = pair
        call = one.start("call", "conv", "waver", "ana")
        wait_for(home / f"at.waver.ana.{one.pid}")
        two.do("enter", "conv")
        wait_for(home / f"at.waver.ana.{two.pid}")
        (home / f"fail.{one.pid}").touch()
        (home / f"go.waver.ana.{one.pid}").touch()
        assert one.answer(call)[0] != "waver for ana"
        (home / f"go.waver.ana.{two.pid}").touch()
        two.do("until", "conv", "done")
        one.end()
        two.end()
        assert [record for record in records(home) if isinstance(record, r.Failed)] == []
        with Journal(home) as journal:
            assert journal.run_phase("conv") is Phase.DONE
        assert len(lines(home, "ana", "acting")) == 1
