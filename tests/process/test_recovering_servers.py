"""Real processes on a real Valkey or PostgreSQL: a dead or stopped one is noticed when its lease runs out (T3, T4)."""

import signal
import uuid

import pytest
from process_children import Actor, wait_for
from process_reading import Journal, lines

from toolguard.core import records as r
from toolguard.testing.stores.postgres import postgres
from toolguard.testing.stores.valkey import valkey

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def valkey_url(tmp_path_factory):
    with valkey(tmp_path_factory.mktemp("valkey"), appendonly="yes", appendfsync="always") as server:
        yield server.url


@pytest.fixture(scope="module")
def postgres_url(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server.url


@pytest.fixture(params=["valkey", "postgres"])
def home(tmp_path, request):
    """A folder for the world, and the address of a store."""
    url = request.getfixturevalue(f"{request.param}_url")
    place = f"{url}&schema=s{uuid.uuid4().hex[:12]}" if request.param == "postgres" else url
    (tmp_path / "place").write_text(place)
    return tmp_path


@pytest.fixture
def conv():
    """A name that no other test has used: the tests share a server."""
    return f"conv-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def actors(home):
    made = []

    def make():
        made.append(Actor(home))
        return made[-1]

    yield make
    for actor in made:
        if actor.alive:
            actor.signal(signal.SIGCONT)
            actor.kill()


def records(home, kind, session):
    with Journal(home) as journal:
        return journal.records(session, kind)


def test_t2_of_processes_that_recover_a_session_at_once_one_gets_it(home, actors, conv):
    dead, *rivals = actors(), actors(), actors()
    token = dead.do("token")
    dead.do("enter", conv)
    dead.start("call", conv, "reserve", "ana")
    wait_for(home / f"at.reserve.ana.{dead.pid}")
    dead.do("quiet")
    dead.kill()
    for rival in rivals:
        rival.do("enter", f"{conv}-{rival.pid}")  # the store is open
    assert rivals[0].do("recover", conv)[0] == "StillOwned"  # its lease has not run out
    for rival in rivals:
        rival.do("until_dead", token)
    tags = [rival.start("recover", conv) for rival in rivals]
    answers = [rival.answer(tag) for rival, tag in zip(rivals, tags, strict=True)]
    (winner,) = [place for place, one in enumerate(answers) if isinstance(one, dict)]
    assert answers[winner]["resumed"] == (f"{conv}/1",)
    assert {one[0] for one in answers if not isinstance(one, dict)} <= {"Fenced", "StillOwned"}
    (home / f"go.reserve.ana.{rivals[winner].pid}").touch()
    rivals[winner].do("until", conv, "done")
    assert len(lines(home, "ana", "acting")) == 1
    assert len(records(home, r.Recovered, conv)) == 1


def test_t4_a_process_that_was_stopped_past_its_lease_wakes_and_does_not_commit(home, actors, conv):
    one, two = actors(), actors()
    token = one.do("token")
    one.do("enter", conv)
    two.do("enter", f"{conv}-two")
    call = one.start("call", conv, "reserve", "ana")
    wait_for(home / f"at.reserve.ana.{one.pid}")
    one.do("quiet")
    one.signal(signal.SIGSTOP)
    two.do("until_dead", token)
    assert two.do("recover", conv)["resumed"] == (f"{conv}/1",)
    (home / f"go.reserve.ana.{two.pid}").touch()
    two.do("until", conv, "done")
    (home / f"go.reserve.ana.{one.pid}").touch()
    one.signal(signal.SIGCONT)
    assert one.answer(call)[0] in {"Fenced", "ToolFailed"}  # it sees by itself that its lease is over
    assert records(home, r.Failed, conv) == []
    (acting,) = lines(home, "ana", "acting")
    assert acting["pid"] == two.pid
    assert one.do("until_new_token", token) != token
    one.do("enter", f"{conv}-new")
    assert one.do("call", f"{conv}-new", "charge", "ben") == "charge for ben"


def test_t1_a_commit_of_a_process_that_was_stopped_past_its_lease_is_in_doubt_until_it_tells(home, actors, conv):
    one, two = actors(), actors()
    token = one.do("token")
    one.do("enter", conv)
    two.do("enter", f"{conv}-two")
    call = one.start("call", conv, "send", "ana")
    wait_for(home / "at.send.ana")
    one.do("quiet")
    one.signal(signal.SIGSTOP)
    two.do("recover", conv, take=True)  # it is followed while its lease lasts
    assert two.do("phases", conv) == ["committing"]
    two.do("until", conv, "in_doubt")
    (home / "go.send.ana").touch()
    (home / "go.sent.ana").touch()
    one.signal(signal.SIGCONT)
    two.do("until", conv, "done")
    assert one.answer(call) == "send for ana"
    assert len(lines(home, "ana", "acting")) == 1
    assert one.do("until_new_token", token) != token


def test_t2_a_watch_claims_the_sessions_of_a_process_whose_lease_has_run_out(home, actors, conv):
    dead, watcher = actors(), actors()
    names = [f"{conv}-{place}" for place in range(3)]
    for name in names:
        dead.do("enter", name)
    dead.do("quiet")
    watcher.do("enter", f"{conv}-watcher")
    tag = watcher.start("watch", 8)
    dead.kill()
    found = watcher.answer(tag)
    assert [name for name in found if name.startswith(conv)] == names
