"""``toolguard audit`` shows calls, sessions, one call in full and a timeline, for people and as JSON lines."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from cli_house import alone, bad, good, objects, run
from freezegun import freeze_time

from audit_house import Clock, charge, look, made, TOOLS, sql  # isort: skip
from toolguard import Guard
from toolguard.cli.when import moment_of
from toolguard.testing.fake_port import RecordingPort


@pytest.fixture
def home(tmp_path):
    return made(tmp_path / "journal", sessions=("conv-1", "conv-2"))


def test_calls_are_shown_with_those_in_doubt_first_and_what_to_do_about_them(home):
    lines = good("audit", "--store", home).splitlines()
    assert lines[0].split() == ["ref", "at", "tool", "phase", "decision", "reason", "told"]
    refs = [line.split()[0] for line in lines[1:7]]
    assert refs == ["conv-1/3", "conv-2/3", "conv-1/1", "conv-1/2", "conv-2/1", "conv-2/2"]
    assert "in doubt" in lines[1]
    assert "OSError: the line broke" in lines[1]
    assert lines[7] == "2 in doubt: find out what happened, then `toolguard resolve conv-1/3 ...`"


def test_filters_narrow_the_calls_down(home):
    def refs(*options):
        return [one["ref"] for one in objects("audit", "--store", home, *options)]

    assert refs("--phase", "in_doubt") == ["conv-1/3", "conv-2/3"]
    assert refs("--tool", "look") == ["conv-1/1", "conv-2/1"]
    assert refs("conv-2", "--effect", "mutation") == ["conv-2/3", "conv-2/2"]
    assert refs("--tenant", "clinic-7", "--limit", "2") == ["conv-1/3", "conv-2/3"]
    assert refs("--tenant", "other") == []
    assert refs("--since", "1h", "--until", "now") == refs("--limit", "0")
    assert refs("--since", "2100-01-01") == refs("--until", "2001-01-01") == []


def test_a_limit_says_that_there_is_more(home):
    assert "there are more than 1: narrow it down, or use --limit 0" in good("audit", "--store", home, "--limit", 1)
    assert good("audit", "conv-1", "--store", home, "--tool", "nothing") == "no calls\n"


def test_one_call_is_shown_in_full(home):
    text = good("audit", "conv-1/2", "--store", home)
    for words in (
        "ref  conv-1/2",
        "phase  done",
        'arguments  {"who":"ana","cents":5}',
        'result  "ch_ana"',
        "source  body",
    ):
        assert words in text
    (call,) = objects("audit", "conv-1/2", "--store", home)
    assert (call["phase"], call["effect"], call["result"], call["epochs"]) == ("done", "mutation", "ch_ana", [1])


def test_sessions_are_shown(home):
    text = good("audit", "sessions", "--store", home)
    assert text.splitlines()[0].split() == [
        "session",
        "tenant",
        "state",
        "owner",
        "records",
        "opened",
        "last",
        "record",
    ]
    rows = objects("audit", "sessions", "--store", home)
    assert [(one["session"], one["tenant"], one["state"]) for one in rows] == [
        ("conv-1", "clinic-7", "closed"),
        ("conv-2", "clinic-7", "closed"),
    ]
    assert "there are more than 1" in good("audit", "sessions", "--store", home, "--limit", 1)
    assert objects("audit", "sessions", "--store", home, "--since", "2100-01-01") == []


def barge_in(home):
    async def play():
        async with Guard(home, tools=TOOLS) as guard:
            port = RecordingPort()
            async with guard.session("conv-9", agent="desk", port=port) as conversation:
                conversation.caller_started("o1")
                conversation.receive("c1", "charge", {"who": "ana"})
                await asyncio.sleep(0.01)
                conversation.noticed("line", "\x1b[31mnoise\n\u202e")
                conversation.caller_said("no, cancel that", onset="o1")

    asyncio.run(play())


def test_i18_the_timeline_of_a_session_with_a_barge_in_can_be_read_aloud(tmp_path):
    barge_in(tmp_path / "journal")
    lines = good("audit", "conv-9", "--timeline", "--store", tmp_path / "journal").splitlines()
    text = "\n".join(lines)
    story = [
        "session    opened by process",
        "caller     the caller began to speak (onset o1)",
        "agent      calls charge conv-9/1",
        'policy     by_effect: hold charge conv-9/1 "the caller is speaking"',
        "gate       charge conv-9/1 waits, held by o1",
        r"notice     line: \x1b[31mnoise\n\u202e",
        'caller     "no, cancel that" (cancellation)',
        "policy     by_effect: stop charge conv-9/1",
        "run        charge conv-9/1 stopped before its effect",
        "sent       output for charge conv-9/1: cancelled",
        "session    closed: hang_up",
    ]
    places = [text.index(words) for words in story]
    assert places == sorted(places)
    assert all(line.isprintable() for line in lines)
    assert good("audit", "conv-9/1", "--timeline", "--store", tmp_path / "journal").splitlines() == lines


def test_the_timeline_as_json_is_the_records(home):
    rows = objects("audit", "conv-1", "--timeline", "--store", home)
    assert [(one["seq"], one["kind"]) for one in rows][:3] == [(1, "opened"), (2, "called"), (3, "returned")]
    assert rows[1]["record"]["arguments"] == {"city": "Pune"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["conv-9"], "[unknown_ref] conv-9: there is no such session in this store. See"),
        (["conv-1/9"], "[unknown_ref] conv-1/9: conv-1 has no call 9. See"),
        (["conv-9/1"], "[unknown_ref] conv-9: there is no such session in this store. See"),
        (["a/b"], "[unknown_ref] a/b: this is no ref of a call."),
        (["--timeline"], "[bad_use] --timeline needs a session. Write:"),
        (["--since", "whenever"], "[bad_use] --since: 'whenever' is no time; write yesterday,"),
        (["--phase", "x"], "[bad_use] Invalid value for '--phase': "),
        (["--limit", "-1"], "[bad_use] Invalid value for '--limit'"),
        (["--nonsense"], "[bad_use] No such option: --nonsense"),
        (["\x1b[31m/1"], r"[unknown_ref] \x1b[31m: there is no such session"),
    ],
)
def test_bad_use_is_one_line_and_exit_code_2(home, args, words):
    assert bad("audit", *args, "--store", home).startswith(words)


def test_a_place_without_a_journal_is_named_and_left_alone(tmp_path):
    line = bad("audit", "--store", tmp_path / "nowhere")
    assert line.startswith("[store_foreign] there is no journal in")
    assert not (tmp_path / "nowhere").exists()
    assert bad("audit", "--store", "s3://x").startswith("[store_foreign]")
    assert bad("audit", env={"TOOLGUARD_STORE": str(tmp_path / "env")}).startswith(
        f"[store_foreign] there is no journal in {tmp_path / 'env'}"
    )


def test_looking_at_a_store_that_is_in_use_disturbs_nobody(tmp_path):
    async def play():
        async with Guard(tmp_path / "journal", tools=TOOLS) as guard, guard.session("conv-1"):
            await charge("ana")
            done = await asyncio.to_thread(alone, "audit", "--json", "--store", tmp_path / "journal")
            assert await charge("eve") == "ch_eve"
            return done

    done = asyncio.run(play())
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["result"] == "ch_ana"


def at_dawn(home, at):
    async def play():
        guard = Guard(home, tools=TOOLS, clock=Clock(int(at.timestamp()) * 1_000_000_000))
        async with guard, guard.session(f"conv-{at:%d}"):
            await look("Pune")

    asyncio.run(play())


@freeze_time("2026-03-10 09:00:00", real_asyncio=True)
def test_since_yesterday_begins_at_its_midnight_in_local_time(tmp_path):
    for day in (8, 9, 10):
        at_dawn(tmp_path / "journal", datetime(2026, 3, day, 1).astimezone(UTC))
    rows = objects("audit", "--store", tmp_path / "journal", "--since", "yesterday")
    assert [one["session"] for one in rows] == ["conv-09", "conv-10"]
    rows = objects("audit", "--store", tmp_path / "journal", "--since", "today")
    assert [one["session"] for one in rows] == ["conv-10"]
    assert "2026-03-10 01:00:00" in good("audit", "--store", tmp_path / "journal", "--since", "9h")


@freeze_time("2026-03-10 09:30:00")
@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("now", "2026-03-10 09:30"),
        ("today", "2026-03-10 00:00"),
        ("Yesterday ", "2026-03-09 00:00"),
        ("90s", "2026-03-10 09:28:30"),
        ("30m", "2026-03-10 09:00"),
        ("2h", "2026-03-10 07:30"),
        ("3d", "2026-03-07 09:30"),
        ("1w", "2026-03-03 09:30"),
        ("2026-03-01", "2026-03-01 00:00"),
        ("2026-03-01T10:30", "2026-03-01 10:30"),
    ],
)
def test_times_are_read_as_people_write_them(text, means):
    assert moment_of(text) == datetime.fromisoformat(means).astimezone()


def test_a_time_with_a_zone_keeps_it():
    assert moment_of("2026-03-01T10:30:00+05:30") == datetime(2026, 3, 1, 5, 0, tzinfo=UTC)
    assert moment_of("2026-03-01T10:30:00Z") == datetime(2026, 3, 1, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "2x", "999999w", "2026-13-01", "-2h"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="is no time; write yesterday"):
        moment_of(text)


def test_damaged_records_do_not_stop_the_audit(home):
    sql(home, "UPDATE journal SET frame = x'00' WHERE session = 1 AND seq = 3")
    assert "conv-1/1" in good("audit", "--store", home)
    lines = good("audit", "conv-1", "--timeline", "--store", home).splitlines()
    assert any("a record cannot be read" in line for line in lines)
    assert lines[-1] == "1 records could not be read: run `toolguard verify`"


def test_tables_and_details_move_no_cursor(tmp_path):
    hostile = "conv\x1b[2J\u202e-1"

    async def play():
        async with Guard(tmp_path / "journal", tools=TOOLS) as guard, guard.session(hostile, agent=hostile):
            await charge(hostile)

    asyncio.run(play())
    for what in ([], ["sessions"], [f"{hostile}/1"]):
        lines = good("audit", *what, "--store", tmp_path / "journal").splitlines()
        assert any(r"conv\x1b[2J\u202e-1" in line for line in lines)
        assert all(line.isprintable() for line in lines)


def test_json_lines_are_plain_ascii(tmp_path):
    async def play():
        async with Guard(tmp_path / "journal", tools=TOOLS) as guard, guard.session("conv-1"):
            await charge("Zoë \u202e\x1b[31m \U0001f600")

    asyncio.run(play())
    result = run("audit", "--json", "--store", tmp_path / "journal")
    assert result.stdout.strip().isascii()
    assert result.stdout.strip().isprintable()
    assert json.loads(result.stdout)["arguments"]["who"] == "Zoë \u202e\x1b[31m \U0001f600"
