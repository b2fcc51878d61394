"""Two processes on one directory want the same thing: it happens once, and both are told the truth (T3, S8)."""

import signal

import pytest
from process_children import Actor, child, ended, play, wait_for
from process_reading import Journal, lines

from toolguard.core import records as r
from toolguard.core.law import Phase


@pytest.fixture
def home(tmp_path):
    return tmp_path


@pytest.fixture
def pair(home):
    """Two processes, each with a session of the same tenant and the same caller."""
    one, two = Actor(home), Actor(home)
    one.do("enter", "one")
    two.do("enter", "two")
    yield one, two
    for actor in (one, two):
        if actor.alive:
            actor.kill()


def called(home, session):
    with Journal(home) as journal:
        return journal.records(session, r.Called)


def answered(home, session):
    with Journal(home) as journal:
        return journal.records(session, r.Answered)


@pytest.mark.parametrize("tool", ["order", "pay"])
class TestScopes:
    """S8: ``order`` is recognised by its caller, ``pay`` in the whole tenant."""

    def test_t3_one_runs_and_one_joins(self, home, pair, tool):
        one, two = pair
        first = one.start("call", "one", tool, "ana")
        wait_for(home / f"at.{tool}.ana")
        second = two.start("call", "two", tool, "ana")
        assert two.waiting(second, 0.3)
        (home / f"go.{tool}.ana").touch()
        assert one.answer(first) == f"{tool} for ana"
        assert two.answer(second) == f"{tool} for ana"
        assert len(lines(home, "ana")) == 1
        one.end()
        two.end()
        (joined,) = called(home, "two")
        assert (joined.verdict, joined.points_to) == ("join", "one/1")
        (answer,) = answered(home, "two")
        assert answer.form == "replayed"
        assert '"first":"one/1"' in answer.text

    def test_s8_what_another_session_has_done_is_told_and_not_repeated(self, home, pair, tool):
        one, two = pair
        (home / f"go.{tool}.ana").touch()
        assert one.do("call", "one", tool, "ana") == f"{tool} for ana"
        one.do("until_claimed", "one", tool)
        for _ in range(3):
            name, text = two.do("call", "two", tool, "ana")
            assert name == "AlreadyDone"
            assert "one/1" in text
        assert len(lines(home, "ana")) == 1

    def test_t3_a_holder_that_dies_while_committing_leaves_a_doubt(self, home, pair, tool):
        one, two = pair
        one.start("call", "one", tool, "ana")
        wait_for(home / f"at.{tool}.ana")
        second = two.start("call", "two", tool, "ana")
        assert two.waiting(second, 0.2)
        one.kill()
        (home / f"go.{tool}.ana").touch()
        assert two.answer(second)[0] == "InDoubt"
        for _ in range(3):
            assert two.do("call", "two", tool, "ana")[0] == "InDoubt"
        assert lines(home, "ana", "acting") == []
        two.end()
        assert {record.verdict for record in called(home, "two")} <= {"join", "in_doubt"}

    def test_t3_two_that_come_at_once_act_once(self, home, pair, tool):
        one, two = pair
        for number in range(10):
            (home / f"go.{tool}.{number}").touch()
            tags = [
                (one, one.start("call", "one", tool, str(number))),
                (two, two.start("call", "two", tool, str(number))),
            ]
            answers = [actor.answer(tag) for actor, tag in tags]
            assert f"{tool} for {number}" in answers, answers
            assert all(a == f"{tool} for {number}" or a[0] == "AlreadyDone" for a in answers), answers
            assert len(lines(home, str(number), "acting")) == 1


class TestOtherCallers:
    def test_s8_another_caller_of_the_tenant_is_somebody_else(self, home):
        one, two = Actor(home), Actor(home)
        one.do("enter", "one", caller="ana")
        two.do("enter", "two", caller="ben")
        (home / "go.order.table").touch()
        assert one.do("call", "one", "order", "table") == "order for table"
        assert two.do("call", "two", "order", "table") == "order for table"
        assert len({line["key"] for line in lines(home, "table")}) == 2
        one.end()
        two.end()

    def test_s8_another_tenant_is_somebody_else(self, home):
        one, two = Actor(home), Actor(home)
        one.do("enter", "one", tenant="north")
        two.do("enter", "two", tenant="south")
        (home / "go.pay.ana").touch()
        assert one.do("call", "one", "pay", "ana") == "pay for ana"
        assert two.do("call", "two", "pay", "ana") == "pay for ana"
        assert len({line["key"] for line in lines(home, "ana")}) == 2
        one.end()
        two.end()

    def test_s_running_other_details_of_what_runs_elsewhere_are_not_joined(self, home, pair):
        """Same intent, other fingerprint: told that the first stands with other details, not run, not its result."""
        one, two = pair
        first = one.start("call", "one", "pay", "ana", 100)
        wait_for(home / "at.pay.ana")
        name, text = two.do("call", "two", "pay", "ana", 200)
        assert name == "AlreadyDone"
        assert "one/1" in text
        (home / "go.pay.ana").touch()
        assert one.answer(first) == "pay for ana"
        assert len(lines(home, "ana")) == 1


class TestTheTruthComesOut:
    """What a dead holder has left is looked into by whoever waits for it, and by who recovers its session (D1, T3)."""

    def killed(self, home, pair, *, acted):
        one, two = pair
        one.start("call", "one", "wire", "ana")
        wait_for(home / "at.wire.ana")
        second = two.start("call", "two", "wire", "ana")
        assert two.waiting(second, 0.2)
        if acted:
            (home / "go.wire.ana").touch()
            wait_for(home / "at.wired.ana")
        one.kill()
        told = two.answer(second)
        if acted:
            assert told == "wire for ana"
        else:
            assert told[0] == "InDoubt"
        (home / "go.wire.ana").touch()
        (home / "go.wired.ana").touch()
        third = Actor(home)
        third.do("enter", "one")
        third.do("until", "one", "done" if acted else "failed")
        third.do("until_claimed", "one", "wire")
        return two, third

    def test_d1_it_happened(self, home, pair):
        two, third = self.killed(home, pair, acted=True)
        name, text = two.do("call", "two", "wire", "ana")
        assert name == "AlreadyDone"
        assert "one/1" in text
        assert len(lines(home, "ana")) == 1
        third.end()

    def test_d1_it_did_not_happen_and_the_next_occurrence_inherits_the_key(self, home, pair):
        two, third = self.killed(home, pair, acted=False)
        third.end()
        with Journal(home) as journal:
            (began,) = journal.records("one", r.CommitBegan)
            assert journal.run_phase("one") is Phase.FAILED
        assert two.do("call", "two", "wire", "ana") == "wire for ana"
        (acted,) = lines(home, "ana")
        assert acted["key"] == began.key


def test_s8_two_processes_that_make_the_directory_together_recognise_the_same_wish(tmp_path):
    """S4: identities are kept as a keyed hash, and the key is the store's, whoever came first."""
    for number in range(12):
        home = tmp_path / str(number)
        home.mkdir()
        (home / "go.pay.ana").touch()
        actors = [Actor(home), Actor(home)]
        entering = [actor.start("enter", str(place)) for place, actor in enumerate(actors)]
        for actor, tag in zip(actors, entering, strict=True):
            actor.answer(tag)
        for place, actor in enumerate(actors):
            actor.do("call", str(place), "pay", "ana")
        assert len(lines(home, "ana")) == 1, number
        for actor in actors:
            actor.kill()


@pytest.mark.parametrize(
    ("where", "told"),
    [("after the effect", "InDoubt"), ("after commit of claim", "AlreadyDone"), ("after commit of 15", "AlreadyDone")],
)
def test_t3_a_claim_that_a_dead_process_left_says_what_is_known(tmp_path, where, told):
    """Before and after its session was taken over, and knowledge never gets lost by that."""
    (tmp_path / "go.pay.one").touch()
    assert ended(child(play, str(tmp_path), "pay", "one", where)) == -signal.SIGKILL
    two = Actor(tmp_path)
    two.do("enter", "two")
    name, text = two.do("call", "two", "pay", "one")
    assert name == told, text
    assert "one/1" in text or told == "InDoubt"
    owner = Actor(tmp_path)
    owner.do("enter", "one")
    owner.do("until_claimed", "one", "pay")
    owner.do("quiet")
    owner.do("quiet")
    assert two.do("call", "two", "pay", "one")[0] == told
    assert len(lines(tmp_path, "one", "acting")) == 1
    owner.end()
    two.end()
