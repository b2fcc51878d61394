"""Two uvicorn processes on one store serve one conversation; one is killed, or falls asleep, and the other goes on."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from process_children import wait_for, wait_until
from process_reading import lines
from process_web import BOUND, WebProcess

from toolguard.core import records as r
from toolguard.core.chain import verify
from toolguard.core.law import Phase
from toolguard.core.state import State
from toolguard.stores.locate import store_from
from toolguard.testing.scenarios.places import Places

KINDS = ["disk", "redis", "postgres"]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=KINDS)
def places(request):
    with Places(request.param) as made:
        yield made


@pytest.fixture
def home(tmp_path):
    return tmp_path


@pytest.fixture
def site(home, places):
    """Starts web processes on one new place."""
    made = Site(home, places)
    yield made
    for one in made.processes:
        one.over()


class Site:
    """The processes of one test, and what lies in their store."""

    def __init__(self, home, places):
        self.home, self.kind = home, places.kind
        self.place = places.new(home)
        self.processes = []

    def begin(self, many=1, **settings):
        started = [WebProcess(self.home, self.place, **settings) for _ in range(many)]
        self.processes += started
        for one in started:
            one.ready()
        return started

    def read(self, question):
        """Ask the store as one process more."""
        store = store_from(self.place)
        store.open("the test")
        try:
            return question(store)
        finally:
            store.close()

    def frames(self):
        return self.read(lambda store: store.read("conv", limit=10_000))

    def records(self, kind=r.Record):
        every = [r.decode(frame.kind, frame.version, frame.payload) for frame in self.frames()]
        return [record for record in every if isinstance(record, kind)]

    def state(self):
        state = State("conv")
        for frame in self.frames():
            state.apply(r.decode(frame.kind, frame.version, frame.payload), frame.at)
        return state

    def touch(self, *names):
        for name in names:
            (self.home / name).touch()

    def acted(self, who="ana"):
        return lines(self.home, who, "acting")


def assert_whole(site):
    """Dense, chained, each call opened once, every record of a run admitted by the law."""
    rows, row = site.read(lambda store: (store.raw("conv", limit=10_000), store.session("conv")))
    assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
    if site.kind == "disk":
        assert verify(rows, anchor=(row.seq, row.chain)).ok
    numbers = [record.call for record in site.records(r.Called)]
    assert numbers == list(range(1, len(numbers) + 1))
    commits = site.records(r.CommitBegan)
    assert len({record.key for record in commits}) == len(commits)


def test_t2_requests_strictly_alternating_are_one_conversation(site):
    pair = site.begin(2)
    for number in range(12):
        site.touch(f"go.send.{number}", f"go.sent.{number}")
        answer = pair[number % 2].call(f"c{number}", "send", who=str(number))
        assert (answer["form"], answer["output"]) == ("result", f"send for {number}")
    again = [pair[1 - number % 2].call(f"c{number}", "send", who=str(number)) for number in range(12)]
    assert [one["output"] for one in again] == [f"send for {number}" for number in range(12)]
    assert all(len(site.acted(str(number))) == 1 for number in range(12))
    pair[0].end_conversation()
    assert site.read(lambda store: store.session("conv")).state == "closed"
    assert_whole(site)


class TestKilled:
    """The first process is killed while the charge runs."""

    def killed(self, site, tool, *, acted):
        one, two = site.begin(2)
        other = two.call("c0", "look", who="nobody")
        assert other["output"] == "look for nobody"
        first = one.start("c1", tool, who="ana")
        wait_for(site.home / f"at.{tool}.ana")
        if acted:
            site.touch(f"go.{tool}.ana")
            wait_for(site.home / f"at.{tool}.ana.done")
        one.kill()
        assert first.exception(BOUND) is not None
        site.touch(f"go.{tool}.ana", f"go.{tool}.ana.done")
        return two

    @pytest.mark.parametrize("acted", [True, False])
    def test_d3_without_a_probe_the_retry_and_a_new_call_are_told_that_it_is_in_doubt(self, site, acted):
        two = self.killed(site, "debit", acted=acted)
        for call_id in ("c1", "c2", "c1", "c3"):
            assert two.call(call_id, "debit", who="ana")["form"] == "in_doubt"
        assert len(site.acted()) == acted
        assert [run.phase for run in site.state().runs.values()] == [Phase.DONE, Phase.IN_DOUBT]
        assert_whole(site)

    def test_d1_with_a_probe_the_retry_and_a_new_call_get_its_outcome(self, site):
        two = self.killed(site, "remit", acted=True)
        retry = two.call("c1", "remit", who="ana")
        assert (retry["form"], retry["output"]) == ("result", "remit for ana")
        new = two.call("c2", "remit", who="ana")
        assert new["form"] == "replayed"
        assert "remit for ana" in new["output"]
        assert len(site.acted()) == 1
        (returned,) = [record for record in site.records(r.Returned) if record.run == site.state().slots[2].run]
        assert returned.source == "probe"
        assert_whole(site)

    def test_d1_what_did_not_happen_is_told_after_the_quarantine_and_done_once(self, site):
        two = self.killed(site, "remit", acted=False)
        numbers = iter(range(2, 1000))
        first = two.call("c1", "remit", who="ana")
        assert first["form"] in {"in_doubt", "error"}
        wait_until(lambda: site.state().runs[site.state().slots[2].run].phase is Phase.FAILED, BOUND)
        answers = []
        wait_until(
            lambda: (
                answers.append(two.call(f"c{next(numbers)}", "remit", who="ana"))
                or answers[-1]["form"] in {"result", "replayed"}
            ),
            BOUND,
        )
        assert len(site.acted()) == 1
        assert len({record.key for record in site.records(r.CommitBegan)}) == 1

    def test_t3_before_the_commit_the_other_does_it_as_the_same_occurrence(self, site):
        one, two = site.begin(2)
        first = one.start("c1", "reserve", who="ana")
        wait_for(site.home / f"at.reserve.ana.{one.pid}")
        one.kill()
        assert first.exception(BOUND) is not None
        retry, new = two.start("c1", "reserve", who="ana"), two.start("c2", "reserve", who="ana")
        wait_until((site.home / f"at.reserve.ana.{two.pid}").exists, BOUND)
        site.touch(f"go.reserve.ana.{two.pid}")
        assert retry.result(BOUND)["output"] == "reserve for ana"
        assert "reserve for ana" in new.result(BOUND)["output"]
        (acting,) = site.acted()
        assert acting["pid"] == two.pid
        (run,) = site.state().runs.values()
        assert (run.occurrence, run.attempt, run.phase) == (1, 2, Phase.DONE)
        assert_whole(site)

    def test_t3_a_request_that_waits_for_it_is_answered_when_it_dies(self, site):
        one, two = site.begin(2)
        one.start("c1", "debit", who="ana")
        wait_for(site.home / "at.debit.ana")
        waiting = two.start("c2", "debit", who="ana")
        wait_until(lambda: len(site.records(r.Called)) == 2, BOUND)
        one.kill()
        assert waiting.result(BOUND)["form"] == "in_doubt"
        wait_until(lambda: next(iter(site.state().runs.values())).phase is Phase.IN_DOUBT, BOUND)
        site.touch("go.debit.ana")
        assert site.acted() == []


def test_i04_both_processes_get_the_same_call_at_the_same_moment(site):
    pair = site.begin(2)
    with ThreadPoolExecutor(2) as both:
        for number in range(10):
            who = str(number)
            site.touch(f"go.send.{who}", f"go.sent.{who}")
            answers = list(both.map(lambda one, who=who: one.call(f"c{who}", "send", who=who), pair))
            assert [one["output"] for one in answers] == [f"send for {who}"] * 2
            assert len({one["item"] for one in answers}) == 1
            assert len(site.acted(who)) == 1
    assert len(site.records(r.Called)) == 10
    assert_whole(site)


def test_s_running_both_get_a_call_of_the_same_intent_at_the_same_moment(site):
    pair = site.begin(2)
    with ThreadPoolExecutor(2) as both:
        for number in range(10):
            who = str(number)
            site.touch(f"go.send.{who}", f"go.sent.{who}")
            asked = [(one, f"c{who}.{place}") for place, one in enumerate(pair)]
            answers = list(both.map(lambda one, who=who: one[0].call(one[1], "send", who=who), asked))
            assert all(f"send for {who}" in one["output"] for one in answers)
            assert len(site.acted(who)) == 1
    assert_whole(site)


def test_i04_a_retry_after_a_restart_gets_the_stored_answer(site):
    site.touch("go.send.ana", "go.sent.ana")
    (one,) = site.begin()
    first = one.call("c1", "send", who="ana")
    one.stop()
    (again,) = site.begin()
    assert again.call("c1", "send", who="ana") == first
    assert len(site.acted()) == 1
    assert_whole(site)


@pytest.mark.parametrize("when", ["before", "after"])
def test_t4_a_process_that_sleeps_in_the_middle_of_committing_does_not_act_beside_the_other(site, when):
    """With a server, the lease runs out while it sleeps; on a disk the lock lives, and the other one waits."""
    (one,) = site.begin(WEB_STOPS=when)
    (two,) = site.begin()
    first = one.start("c1", "reserve", who="ana")
    wait_for(site.home / f"at.reserve.ana.{one.pid}")
    site.touch(f"go.reserve.ana.{one.pid}")
    wait_until((site.home / f"stopped.{one.pid}").exists, BOUND)
    second = two.start("c2", "reserve", who="ana")
    actor = one
    if site.kind == "disk":
        wait_until(lambda: len(site.records(r.Called)) == 2, BOUND)
        one.signal(signal.SIGCONT)
        assert first.result(BOUND)["output"] == "reserve for ana"
        assert "reserve for ana" in second.result(BOUND)["output"]
    elif when == "before":  # its commit did not land, and is refused when it wakes
        actor = two
        wait_until((site.home / f"at.reserve.ana.{two.pid}").exists, BOUND)
        site.touch(f"go.reserve.ana.{two.pid}")
        wait_until(site.acted, BOUND)
        one.signal(signal.SIGCONT)
        assert first.result(BOUND).get("output") != "reserve for ana"
        assert "reserve for ana" in second.result(BOUND)["output"]
    else:  # its commit landed: nobody else acts, and what it says when it wakes is evidence
        assert second.result(BOUND)["form"] == "in_doubt"
        assert site.acted() == []
        one.signal(signal.SIGCONT)
        wait_until(lambda: first_run(site).phase in {Phase.DONE, Phase.FAILED}, BOUND)
        if first_run(site).phase is Phase.FAILED:  # its commit had taken too long when it woke: it did not act
            actor = two
            site.touch(f"go.reserve.ana.{two.pid}")
    assert "reserve for ana" in two.call("c3", "reserve", who="ana")["output"]
    assert [line["pid"] for line in site.acted()] == [actor.pid]
    begun = [(one.run, one.attempt) for one in site.records(r.CommitBegan)]
    ended = [(one.run, one.attempt) for one in (*site.records(r.Returned), *site.records(r.Failed))]
    assert sorted(begun) == sorted(one for one in ended if one in begun)
    assert_whole(site)


def first_run(site):
    return next(iter(site.state().runs.values()))
