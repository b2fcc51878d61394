"""Real processes recover what others left: at once, away from a stopped one, in a watch (T2, T4, H4)."""

import signal

import pytest
from process_children import Actor, wait_for, wait_until
from process_reading import Journal, lines

from toolguard.core import records as r

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def home(tmp_path):
    return tmp_path


@pytest.fixture
def actors(home):
    """Makes processes; those that still live at the end are killed."""
    made = []

    def make():
        made.append(Actor(home))
        return made[-1]

    yield make
    for actor in made:
        if actor.alive:
            actor.kill()


def records(home, kind, session="conv"):
    with Journal(home) as journal:
        return journal.records(session, kind)


def stopped_outside_the_lock(one, two, what, *args, **kwargs):
    """Stop a process at a moment when it does not hold the directory's lock; what the other one gets then."""
    for _ in range(20):
        one.do("quiet")
        one.signal(signal.SIGSTOP)
        got = two.do(what, *args, **kwargs)
        if not isinstance(got, tuple) or got[0] != "StoreBusy":
            return got
        one.signal(signal.SIGCONT)
    raise TimeoutError("it was always stopped with the lock")


def test_t2_of_two_processes_that_recover_a_session_at_once_one_gets_it(home, actors):
    dead = actors()
    dead.do("enter", "conv")
    call = dead.start("call", "conv", "reserve", "ana")
    wait_for(home / f"at.reserve.ana.{dead.pid}")
    dead.do("quiet")
    dead.kill()
    assert call
    rivals = [actors() for _ in range(3)]
    for rival in rivals:
        rival.do("token")
    tags = [rival.start("recover", "conv") for rival in rivals]
    answers = [rival.answer(tag) for rival, tag in zip(rivals, tags, strict=True)]
    (winner,) = [place for place, one in enumerate(answers) if isinstance(one, dict)]
    assert answers[winner] == {"epoch": 2, "resumed": ("conv/1",), "followed": ()}
    losers = [one for one in answers if not isinstance(one, dict)]
    assert {name for name, _ in losers} <= {"Fenced", "StillOwned"}
    assert all("conv" in text for _, text in losers)
    (home / f"go.reserve.ana.{rivals[winner].pid}").touch()
    rivals[winner].do("until", "conv", "done")
    assert len(lines(home, "ana", "acting")) == 1
    assert len(records(home, r.Recovered)) == 1


def test_t2_a_stopped_process_keeps_its_session_unless_it_is_taken(home, actors):
    """On one machine the lock of a stopped process lives on: only somebody who knows better takes its session."""
    one, two = actors(), actors()
    two.do("token")
    one.do("enter", "conv")
    call = one.start("call", "conv", "reserve", "ana")
    wait_for(home / f"at.reserve.ana.{one.pid}")
    name, text = stopped_outside_the_lock(one, two, "recover", "conv")
    assert name == "StillOwned"
    assert "is alive" in text
    found = two.do("recover", "conv", take=True)
    assert (found["epoch"], found["resumed"]) == (2, ("conv/1",))
    (home / f"go.reserve.ana.{two.pid}").touch()
    two.do("until", "conv", "done")
    (home / f"go.reserve.ana.{one.pid}").touch()
    one.signal(signal.SIGCONT)
    assert one.answer(call)[0] == "Fenced"
    assert one.do("call", "conv", "look", "ben")[0] == "Fenced"
    (acting,) = lines(home, "ana", "acting")
    assert acting["pid"] == two.pid


def test_h1_a_commit_of_a_stopped_process_is_followed_until_it_wakes_and_tells(home, actors):
    one, two = actors(), actors()
    two.do("token")
    one.do("enter", "conv")
    call = one.start("call", "conv", "send", "ana")
    wait_for(home / "at.send.ana")
    found = stopped_outside_the_lock(one, two, "recover", "conv", take=True)
    assert found["followed"] == ("conv/1",)
    (home / "go.send.ana").touch()
    (home / "go.sent.ana").touch()
    assert two.do("phases", "conv") == ["committing"]
    one.signal(signal.SIGCONT)
    two.do("until", "conv", "done")
    assert one.answer(call) == "send for ana"
    assert len(lines(home, "ana", "acting")) == 1
    assert [found.attempt for found in records(home, r.Returned)] == [1]


def test_t2_two_watching_processes_share_the_sessions_of_a_dead_one(home, actors):
    dead, one, two = actors(), actors(), actors()
    names = [f"conv-{place}" for place in range(6)]
    for name in names:
        dead.do("enter", name)
    for watcher in (one, two):
        watcher.do("token")
    dead.do("quiet")
    tags = [watcher.start("watch", 4) for watcher in (one, two)]
    dead.kill()
    shares = [watcher.answer(tag) for watcher, tag in zip((one, two), tags, strict=True)]
    assert sorted(shares[0] + shares[1]) == names
    for name in names:
        assert len(records(home, r.Recovered, name)) == 1


def test_t1_a_process_that_dies_while_it_follows_leaves_the_commit_to_the_next(home, actors):
    one, two = actors(), actors()
    one.do("enter", "conv")
    call = one.start("call", "conv", "send", "ana")
    wait_for(home / "at.send.ana")
    two.do("enter", "conv")
    assert two.do("phases", "conv") == ["committing"]
    two.do("quiet")
    two.kill()
    three = actors()
    assert three.do("recover", "conv")["followed"] == ("conv/1",)
    (home / "go.send.ana").touch()
    (home / "go.sent.ana").touch()
    three.do("until", "conv", "done")
    assert one.answer(call) == "send for ana"
    assert len(lines(home, "ana", "acting")) == 1
    wait_until(lambda: len(records(home, r.Returned)) == 1)
