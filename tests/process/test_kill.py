"""SIGKILL at every journal write and around the effect: what is in the world, what the journal says, what recovery does."""

import collections
import concurrent.futures
import importlib.util
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from app import QUARANTINE
from process_children import Actor, child, ended, play, wait_until
from process_reading import SEEN, Journal, lines

from toolguard.core import records as r
from toolguard.core.law import Phase

MUTATIONS = ("charge", "charge_probed", "book", "book_probed", "decline", "stopped")
NOTES = ("note", "note_probed")
FLOWS = (*MUTATIONS, *NOTES, "look")
BY_NAME = ("before the effect", "after the effect")
ALLOWED = {
    (0, Phase.PLANNED), (0, Phase.FAILED), (0, Phase.CANCELLED), (0, Phase.IN_DOUBT),
    (1, Phase.DONE), (1, Phase.IN_DOUBT),
}  # fmt: skip
HERE = Path(__file__).parent
pytestmark = pytest.mark.timeout(600)  # hundreds of processes, each of which waits for the disk


@dataclass
class Death:
    """One process that was killed, before and after its session was recovered; ``where`` is empty if it lived."""

    flow: str
    session: str
    where: str
    effects: int = 0
    found: str | None = None
    cancelled: bool = False
    held: bool = False
    effects_then: int = 0
    attempts: int = 0
    keys: int = 0
    then: str = ""
    commits: int = 0
    sound: bool = False
    told: tuple = ()
    quarantine: float | None = None


def kill_everywhere(home: Path, flow: str) -> list[Death]:
    """Kill a process at every place of one call, then recover all its sessions in one new process."""
    home.mkdir()
    deaths = []

    def run(last: int | str) -> int:
        session = f"{flow}-{last}".replace(" ", "-")
        code = ended(child(play, str(home), flow, session, last))
        diary = home / f"died.{session}"
        deaths.append(Death(flow, session, diary.read_text() if diary.exists() else ""))
        assert code in {0, -signal.SIGKILL}, (code, deaths[-1])
        return code

    assert run(0) == 0  # one that lives: from here on the directory exists
    last = 1
    while run(last):
        last += 1
        assert last < 100, "the call does not end"
    for name in BY_NAME:
        run(name)
    look_at(home, deaths, resumed=False)
    recover(home, [death.session for death in deaths if death.found is not None])
    look_at(home, deaths, resumed=True)
    return deaths


def look_at(home: Path, deaths: list[Death], *, resumed: bool) -> None:
    with Journal(home) as journal:
        known = {name for name in journal.sessions() if journal.store.session(name).seq}
        for death in deaths:
            effects = len(lines(home, death.session))
            phase = journal.run_phase(death.session) if death.session in known else None
            if not resumed:
                death.effects, death.found = effects, phase
                heard = journal.records(death.session, r.Heard) if death.session in known else []
                death.cancelled = any(words.kind == "cancellation" for words in heard)
                death.held = death.session in known and bool(journal.records(death.session, r.Interrupted))
                continue
            acting = lines(home, death.session, "acting")
            death.effects_then, death.then = effects, phase
            death.attempts, death.keys = len(acting), len({line["key"] for line in acting})
            if phase is None:
                death.sound = True
                continue
            death.commits = len(journal.records(death.session, r.CommitBegan))
            death.sound = journal.verify(death.session).ok
            death.quarantine = journal.quarantine(death.session)
            death.told = tuple(journal.records(death.session, r.Recovered))


def recover(home: Path, sessions: list[str], how: str = "go_on") -> None:
    """A new interpreter goes on with these sessions, or takes them over and leaves at once."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / "app.py"), how, *sessions],
        env={**os.environ, "PROCESS_TEST_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def deaths(tmp_path_factory):
    """All of them: every place of every call, two processes at a time."""
    base = tmp_path_factory.mktemp("killed")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(kill_everywhere, base / flow, flow) for flow in FLOWS]
        found = [death for job in jobs for death in job.result()]
    SEEN.extend(table(found))
    return found


def table(found: list[Death]) -> list[str]:
    counts = collections.Counter(
        (kind_of(death.flow), death.effects, death.found or "nothing written", death.effects_then, death.then or "-")
        for death in found
    )
    head = f"{'tool':<28}{'effects':>8}  {'phase found':<16}{'effects then':>13}  {'phase then':<12}{'processes':>10}"
    rows = [
        f"{kind:<28}{effects:>8}  {phase:<16}{then:>13}  {end:<12}{count:>10}"
        for (kind, effects, phase, then, end), count in sorted(counts.items())
    ]
    return [head, *rows, f"{sum(1 for death in found if death.where)} processes killed"]


def kind_of(flow: str) -> str:
    kinds = {
        "charge": "mutation", "charge_probed": "mutation, probe", "book": "mutation inside",
        "book_probed": "mutation inside, probe", "decline": "mutation that refuses",
        "stopped": "mutation that is stopped", "note": "idempotent write", "note_probed": "idempotent write, probe",
        "look": "read",
    }  # fmt: skip
    return kinds[flow]


def of(deaths, *flows):
    return [death for death in deaths if death.flow in flows]


class TestMutations:
    def test_w1_an_effect_is_never_without_its_commit_record(self, deaths):
        """Promise 10: only six pairs of effects and phase exist, and each of them was seen."""
        rows = {(death.effects, death.found) for death in of(deaths, *MUTATIONS) if death.found}
        assert rows == ALLOWED
        unwritten = [death for death in of(deaths, *MUTATIONS) if not death.found]
        assert unwritten
        assert all(death.effects == 0 for death in unwritten)

    def test_l5_at_most_one_attempt_and_one_commit_record_ever(self, deaths):
        for death in of(deaths, *MUTATIONS):
            assert death.attempts <= 1, death
            assert death.commits <= 1, death
            assert death.effects_then <= 1, death

    def test_d3_in_doubt_is_never_run_again(self, deaths):
        doubtful = [death for death in of(deaths, "charge", "book") if death.found is Phase.IN_DOUBT]
        assert {death.effects for death in doubtful} == {0, 1}
        for death in doubtful:  # where the claim said done before the process died, that is evidence, and no attempt
            assert death.then is Phase.IN_DOUBT or (death.effects == 1 and death.then is Phase.DONE), death
            assert death.effects_then == death.effects, death
        assert {(0, Phase.IN_DOUBT), (1, Phase.IN_DOUBT)} <= {(death.effects, death.then) for death in doubtful}

    def test_d1_a_probe_finds_out_what_happened(self, deaths):
        doubtful = [death for death in of(deaths, "charge_probed", "book_probed") if death.found is Phase.IN_DOUBT]
        assert {death.effects for death in doubtful} == {0, 1}
        for death in doubtful:
            assert death.then is (Phase.DONE if death.effects else Phase.FAILED), death
            assert death.effects_then == death.effects, death

    def test_d1_that_it_did_not_happen_is_believed_only_after_the_quarantine(self, deaths):
        waited = [death.quarantine for death in of(deaths, "charge_probed", "book_probed") if death.quarantine]
        assert waited
        assert min(waited) >= QUARANTINE

    def test_h4_what_was_not_committed_goes_on(self, deaths):
        planned = [death for death in of(deaths, *MUTATIONS) if death.found is Phase.PLANNED]
        for death in planned:
            if death.flow == "decline":
                assert (death.effects_then, death.then) == (0, Phase.FAILED), death
            elif not death.cancelled and not death.held:
                assert (death.effects_then, death.then) == (1, Phase.DONE), death

    def test_g3_what_the_caller_held_by_speaking_does_not_happen_before_they_were_heard(self, deaths):
        held = [death for death in of(deaths, *MUTATIONS) if death.held and death.found is Phase.PLANNED]
        assert any(not death.cancelled for death in held)
        for death in held:
            assert (death.effects_then, death.then) == (0, Phase.CANCELLED), death

    def test_g4_what_the_caller_stopped_does_not_happen_after_a_crash(self, deaths):
        stopped = [death for death in of(deaths, "stopped") if death.cancelled]
        assert any(death.found is Phase.PLANNED for death in stopped)
        for death in stopped:
            assert (death.effects_then, death.then) == (0, Phase.CANCELLED), death

    def test_l1_final_stays_final(self, deaths):
        final = [death for death in deaths if death.found and Phase(death.found).final]
        assert {death.found for death in final} == {Phase.DONE, Phase.FAILED, Phase.CANCELLED}
        for death in final:
            assert (death.effects_then, death.then) == (death.effects, death.found), death


class TestIdempotentWrites:
    def test_d2_repeated_only_with_the_same_key(self, deaths):
        notes = of(deaths, *NOTES)
        assert max(death.attempts for death in notes) == 2
        for death in notes:
            assert death.keys <= 1, death

    def test_d2_done_in_the_end(self, deaths):
        for death in of(deaths, *NOTES):
            if death.found:
                assert death.then is Phase.DONE, death
                assert death.effects_then >= 1, death
            else:
                assert death.effects_then == 0, death


class TestReads:
    def test_h4_reads_run_again_and_end(self, deaths):
        for death in of(deaths, "look"):
            if death.found:
                assert death.then is Phase.DONE, death
        assert max(death.attempts for death in of(deaths, "look")) == 2


class TestJournals:
    def test_every_chain_is_whole_after_death_and_recovery(self, deaths):
        assert all(death.sound for death in deaths), [death for death in deaths if not death.sound]

    def test_recovery_says_what_it_found(self, deaths):
        """H4: the recovery record names the run as resumed, in doubt or stopped."""
        for death in deaths:
            if not death.found or Phase(death.found).final:
                continue
            told = death.told[-1]
            if death.found is Phase.IN_DOUBT and death.flow not in NOTES:
                assert told.in_doubt == (1,), death
            elif death.cancelled:
                assert told.stopped == (1,), death
            else:
                assert told.resumed == (1,), death


def test_a_directory_can_be_opened_after_any_death_at_its_birth(tmp_path):
    """D of the store: the first process may die anywhere, and the next one makes a whole store of what it left."""
    for last in range(1, 8):
        home = tmp_path / str(last)
        home.mkdir()
        assert ended(child(play, str(home), "charge", "first", last)) == -signal.SIGKILL
        assert ended(child(play, str(home), "charge", "second", 0)) == 0
        assert len(lines(home, "second")) == 1


def test_l1_an_attempt_that_nobody_knows_of_is_not_failed_by_the_next_one(tmp_path):
    """A repeated write that is stopped right before its second effect is in doubt again: the first may have happened."""
    assert ended(child(play, str(tmp_path), "note", "note", "after the effect")) == -signal.SIGKILL
    recover(tmp_path, ["note"], "leave")
    with Journal(tmp_path) as journal:
        assert journal.records("note", r.CommitBegan)[-1].attempt == 2
        assert journal.run_phase("note") is Phase.IN_DOUBT
    recover(tmp_path, ["note"])
    with Journal(tmp_path) as journal:
        assert journal.run_phase("note") is Phase.DONE
    assert len({line["key"] for line in lines(tmp_path, "note")}) == 1


def test_d1_did_not_happen_is_not_believed_while_the_request_may_be_on_its_way(tmp_path):
    """A probe that finds nothing right after the takeover settles nothing: the quarantine lasts a minute here."""
    assert ended(child(play, str(tmp_path), "ship", "ship", "before the effect")) == -signal.SIGKILL
    owner = Actor(tmp_path)
    owner.do("enter", "ship")
    wait_until(lambda: lines(tmp_path, "ship", "asked"))
    assert owner.do("phases", "ship") == ["in_doubt"]
    owner.kill()


def test_d1_happened_is_believed_at_once(tmp_path):
    assert ended(child(play, str(tmp_path), "ship", "ship", "after the effect")) == -signal.SIGKILL
    owner = Actor(tmp_path)
    owner.do("enter", "ship")
    owner.do("until", "ship", "done")
    assert owner.do("call", "ship", "ship", "ship") == "ship for ship"
    assert len(lines(tmp_path, "ship", "acting")) == 1
    owner.end()


@pytest.mark.skipif(importlib.util.find_spec("toolguard.__main__") is None, reason="there is no command yet")
def test_the_command_recovers(tmp_path):
    """H4: `toolguard recover SESSION --app module:guard` goes on with what a dead process left."""
    for flow, where in (("book", "checkpoint kept"), ("charge_probed", "after the effect")):
        assert ended(child(play, str(tmp_path), flow, flow, where)) == -signal.SIGKILL
        done = subprocess.run(
            [sys.executable, "-m", "toolguard", "recover", flow, "--app", "app:guard"],
            env={**os.environ, "PROCESS_TEST_HOME": str(tmp_path), "PYTHONPATH": str(HERE)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        with Journal(tmp_path) as journal:
            assert journal.run_phase(flow) is Phase.DONE
        assert len(lines(tmp_path, flow)) == 1
