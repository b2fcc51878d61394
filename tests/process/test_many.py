"""Several processes write one directory at once, and one of them is killed: nothing acknowledged is lost (E4, promise 10)."""

from process_children import Actor
from process_reading import Journal, lines

from toolguard.core.law import Phase

PROCESSES, SESSIONS, ROUNDS = 4, 6, 20


def test_no_acknowledged_outcome_is_lost_and_every_chain_is_whole(tmp_path):
    actors = [Actor(tmp_path) for _ in range(PROCESSES)]
    tags = [
        actor.start("hammer", [f"p{place}s{number}" for number in range(SESSIONS)], ROUNDS)
        for place, actor in enumerate(actors)
    ]
    victim, *others = actors
    victim.hear(SESSIONS * ROUNDS)
    victim.kill()
    for actor, tag in zip(others, tags[1:], strict=True):
        actor.answer(tag, 60.0)
        actor.end()
    told = [one for actor in actors for one in actor.told]
    assert len(told) >= (PROCESSES - 1) * SESSIONS * ROUNDS * 3 + SESSIONS * ROUNDS
    with Journal(tmp_path) as journal:
        names = journal.sessions()
        assert len(names) == PROCESSES * SESSIONS
        done = {}
        for name in names:
            verdict = journal.verify(name)
            assert verdict.ok, (name, verdict.sentence)
            assert [frame.seq for frame in journal.frames(name)] == list(range(1, verdict.records + 1))
            for run in journal.state(name).runs.values():
                if run.phase is Phase.DONE:
                    done[name, run.tool, run.arguments] = run.result
    dead = {f"p0s{number}" for number in range(SESSIONS)}
    for session, tool, who, made in told:
        if tool == "look" and session in dead:
            continue  # a read awaits no record (W3)
        assert done[session, tool, b'{"who":"%s"}' % who.encode()] == b'"%s"' % made.encode()
    for session, tool, who, _made in told:
        if tool == "charge":
            assert [line["tool"] for line in lines(tmp_path, who, "acting")].count("charge") == 1, (session, who)
