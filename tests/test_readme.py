"""The README is true: its tables are printed from the code, its blocks run, its outputs are what they print."""

import ast
import asyncio
import contextlib
import difflib
import inspect
import io
import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from openai import AsyncOpenAI

from toolguard import Effect, Phase, errors, policies
from toolguard.core import envelope
from toolguard.core.plan import Circumstances, ToolFacts, step_of
from toolguard.core.slots import Run
from toolguard.core.state import State
from toolguard.engine.limits import Limits
from toolguard.errors import StoreForeign
from toolguard.stores.base import LEASE
from toolguard.stores.locate import store_from
from toolguard.stores.redis_server import Server, read_server, weaknesses
from toolguard.testing import livekit
from toolguard.testing.demo.command import arguments as demo_arguments
from toolguard.testing.realtime import Call, RealtimeServer, Reply
from toolguard.testing.stores.postgres import postgres
from toolguard.testing.stores.valkey import valkey

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def generated(name):
    return re.search(rf"<!-- {name}:[^\n]*-->\n(.*?)<!-- end -->", README, re.DOTALL).group(1).strip()


def test_the_policy_table_is_the_one_in_force():
    assert generated("policy") == policies.as_markdown()


def test_the_envelopes_are_the_ones_that_are_sent():
    assert generated("envelope") == envelope.as_markdown()


def test_the_adoption_diff_is_the_one_between_the_examples():
    before, after = (
        (ROOT / "examples" / f"clinic_{which}.py").read_text().splitlines() for which in ("before", "after")
    )
    lines = difflib.unified_diff(before, after, "clinic_before.py", "clinic_after.py", n=1, lineterm="")
    wanted = "\n".join(line for line in lines if not line.startswith("@@"))
    assert generated("adoption") == f"```diff\n{wanted}\n```"


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", README)
    outside = {link for link in links if link.startswith("https://github.com/")}
    assert [link for link in links if link not in outside and not (ROOT / link).exists()] == []


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """The README read aloud: python blocks in one shell, ``toolguard`` commands beside them, in one directory."""
    home = tmp_path_factory.mktemp("readme")
    aloud = Aloud()
    with contextlib.chdir(home):
        for number, (kind, text) in enumerate(BLOCKS):
            if kind == "python":
                follows = BLOCKS[number + 1] if number + 1 < len(BLOCKS) else ("", "")
                aloud.python(text, follows[1] if follows[0] == "text" else None)
            elif kind == "shell":
                for line in text.splitlines():
                    aloud.shell(line)
    return aloud


class Aloud:
    """What came of the blocks."""

    def __init__(self):
        self.names = {"__name__": "readme"}
        self.failed = []
        self.printed = []
        self.ran = 0

    def python(self, text, wanted):
        code = compile(text, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            made = eval(code, self.names)  # noqa: S307
            if inspect.iscoroutine(made):
                asyncio.run(made)
        self.ran += 1
        if wanted is not None:
            self.printed.append((out.getvalue(), wanted))

    def shell(self, line):
        from toolguard.cli.main import app

        program, *arguments = shlex.split(line)
        assert program == "toolguard"
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = app(arguments, prog_name="toolguard", standalone_mode=False)
        self.ran += 1
        if code:
            self.failed.append((line, code, out.getvalue()))


def test_every_block_runs(read):
    assert read.failed == []
    assert read.ran >= 15


def test_they_print_what_is_shown(read):
    assert len(read.printed) == sum(kind == "text" for kind, _ in BLOCKS)
    for printed, shown in read.printed:
        assert printed == shown


def test_the_first_example_is_short():
    first = next(text for kind, text in BLOCKS if kind == "python")
    assert len(first.strip().splitlines()) <= 15


async def test_the_quick_start_answers_a_call(read, tmp_path):
    """The function that the quick start defines, against the scripted server."""
    answer, charge = read.names["answer"], read.names["charge"]
    guard = read.names["toolguard"].Guard(tmp_path / "journal", tools=[charge])

    def model(line, request):
        outputs = [item for item in line.conversation if item["type"] == "function_call_output"]
        return Reply("Paid.") if outputs else Reply(calls=[Call("c1", "charge", {"patient": "Cy", "cents": 100})])

    async with RealtimeServer(model=model) as server, guard:
        client = AsyncOpenAI(api_key="any", websocket_base_url=server.url)
        agent = asyncio.create_task(answer(client, guard, "conv-50"))
        line = await server.caller()
        await line.wait_for("session.update")
        await line.caller_says("Please take the deposit.", seconds=0.1, reply=True)
        await line.until(lambda: line.outputs("c1") or None, "an output", 10)
        await line.close()
        await agent
        assert server.violations == []
    assert [output.text for output in line.outputs("c1")] == ["ch_1"]


@pytest.mark.virtual_time
async def test_the_loop_of_the_long_call_goes_on_over_a_new_connection(read, tmp_path):
    answer, charge = read.names["answer_for_hours"], read.names["charge"]
    guard = read.names["toolguard"].Guard(tmp_path / "journal", tools=[charge])
    async with still(guard), RealtimeServer() as server, guard, closing_agents() as start:
        start(answer(AsyncOpenAI(api_key="any", websocket_base_url=server.url), guard, "conv-51"))
        line = await server.caller()
        await line.wait_for("session.update")
        await line.caller_says("Is anybody there?", seconds=0.1)
        await line.expire()
        again = await server.caller()
        await again.until(lambda: shown(again) or None, "the conversation", 10)
        assert shown(again) == ["Is anybody there?"]
        assert server.violations == []


@pytest.mark.virtual_time
async def test_a_dead_processs_call_is_put_on_a_new_line(read, tmp_path):
    answer, charge = read.names["answer_for_hours"], read.names["charge"]
    guard = read.names["toolguard"].Guard(tmp_path / "journal", tools=[charge])
    async with still(guard), RealtimeServer() as server, guard, closing_agents() as start:
        async with guard.session("conv-52") as conversation:
            conversation.caller_said("Please take the deposit.")
            await conversation.run(charge, "Flo", 4000)
        start(answer(AsyncOpenAI(api_key="any", websocket_base_url=server.url), guard, "conv-52"))
        line = await server.caller()
        await line.until(lambda: shown(line) or None, "the conversation", 10)
        assert shown(line) == ["Please take the deposit."]
        assert server.violations == []


def shown(line):
    return [item["content"][0]["text"] for item in line.conversation if item.get("role") == "user"]


@contextlib.asynccontextmanager
async def still(guard):
    """The virtual clock stands while the guard's store is at work."""
    journal = guard.journal
    forget = asyncio.get_running_loop().busy_while(lambda: bool(journal.busy or journal.waiting))
    try:
        yield
    finally:
        forget()


@contextlib.asynccontextmanager
async def closing_agents():
    """Starts agents that read their connection for ever, and stops them."""
    tasks = []
    try:
        yield lambda work: tasks.append(asyncio.create_task(work))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.virtual_time
async def test_the_livekit_quick_start_answers_a_call(read, tmp_path):
    """The agent and the function that it defines, on LiveKit with scripted parts: a barge-in, and one booking."""

    def model(request):
        if "please" in request.said and "b1" not in request.outputs:
            return [livekit.Call("book_table", "b1", '{"day": "Monday"}')]
        if "there?" in request.said and "b2" not in request.outputs:
            return [livekit.Call("book_table", "b2", '{"day": "Monday"}')]
        return ["It is booked."]

    agent, on = read.names["FrontDesk"](), livekit.line(model)
    guard = read.names["toolguard"].Guard(tmp_path / "journal")
    async with still(guard), guard:
        with livekit.one_clock():
            await read.names["answer_on_livekit"](on.session, guard, agent, "conv-60")
            await on.ears.speaks("Monday please")
            await livekit.until(lambda: agent.booked)
            await on.ears.speaks("are you there?")
            await livekit.until(lambda: on.said)
            await on.hangs_up()
        assert agent.booked == ["Monday"]
        calls = [call async for call in guard.trail.calls(session="conv-60")]
        assert [(call.tool, call.phase) for call in calls] == [("book_table", Phase.DONE)] * 2


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", [valkey, postgres])
def test_what_is_shown_of_hand_offs_and_recovery_holds_on_servers(kind, tmp_path):
    """The blocks that open the directory ``journal``, from the first one to the hand-off and the recovery."""
    settings = {"appendonly": "yes", "appendfsync": "always"} if kind is valkey else {}
    aloud = Aloud()
    with contextlib.chdir(tmp_path), kind(tmp_path, **settings) as server:
        for number, (language, text) in enumerate(BLOCKS):
            if language == "python" and ("conv-42" in text or "conv-45" in text or "conv-46" in text):
                follows = BLOCKS[number + 1] if BLOCKS[number + 1][0] == "text" else ("", None)
                aloud.python(text.replace('"journal"', repr(server.url)), follows[1])
        assert not (tmp_path / "journal").exists()
    assert aloud.ran >= 3
    for printed, text in aloud.printed:
        assert printed == text


def test_the_stores_are_those_that_there_are():
    rows = re.findall(r'^\| [^|]*`Guard\("([^"]+)"\)`', README, re.MULTILINE)
    made = {place: type(store_from(place)).__name__ for place in rows}
    assert made == {
        "journal": "DiskStore",
        "postgresql://user@host/database": "PostgresStore",
        "redis://host:6379/0": "RedisStore",
        "memory": "MemoryStore",
    }


def test_the_settings_that_are_refused_and_named_are_those():
    with pytest.raises(StoreForeign, match="throws keys away when its memory is full"):
        read_server({"maxmemory_policy": "allkeys-lru", "maxmemory": 1}, "always", "redis://host")
    named = [weaknesses(Server("", promoted=False, logged=True, synced="everysec"), "redis://host")]
    named.append(weaknesses(Server("", promoted=False, logged=False, synced=""), "redis://host"))
    assert "appendfsync everysec" in named[0][0]
    assert "appendonly no" in named[1][0]
    assert weaknesses(Server("", promoted=False, logged=True, synced="always"), "redis://host") == []


def test_the_times_are_the_ones_in_force():
    assert f"resume window ({Limits().resume_window:g} s)" in README
    assert f"lease of {'ten' if Limits().lease == LEASE == 10 else '?'} seconds" in README


def test_the_renderings_are_those_that_there_are():
    listed = re.search(r"`toolguard.render`: ([^.]+)\.", README).group(1)
    files = {path.stem for path in (ROOT / "toolguard" / "render").glob("*.py")} - {"__init__", "parts"}
    assert set(re.findall(r"`(\w+)`", listed)) == files


def test_the_errors_that_are_named_exist():
    for name in ("StillOwned", "Fenced", "LineLost"):
        assert f"`{name}`" in README
        assert issubclass(getattr(errors, name), errors.ToolguardError)


def test_what_becomes_of_calls_that_were_left_is_what_recovery_plans():
    """The table of recovery, against the plan itself."""
    facts = ToolFacts("1", probed=True)
    given = Circumstances(facts=lambda _run: facts, lives=lambda _process: False, gap=1.0, window=60.0)
    late = given._replace(gap=61.0)

    def act(effect, phase, given=given):
        run = Run(
            1, "charge", effect, "i", 1, "f", b"{}", "1", "session", "when_idle", 0, False, 0, 0, phase=phase, calls=[1]
        )
        state = State("conv-1")
        state.newest["i"] = 1
        return step_of(state, run, given).act

    table = README[README.index("| left behind | becomes |") :]
    for effect, phase, wanted, words in (
        (Effect.READ, Phase.STARTED, "run_again", "a read | runs again"),
        (Effect.IDEMPOTENT_WRITE, Phase.COMMITTING, "run_again_same_key", "runs again with the same key"),
        (Effect.MUTATION, Phase.STARTED, "resume", "goes on from its checkpoint"),
        (Effect.MUTATION, Phase.COMMITTING, "probe", "in doubt: its probe is asked"),
    ):
        assert act(effect, phase) == wanted
        assert words in table
    assert act(Effect.MUTATION, Phase.STARTED, late) == "stop"


def test_the_demos_acts_can_be_asked_for():
    for line in (line for kind, text in BLOCKS if kind == "console" for line in text.splitlines()):
        if line.startswith("toolguard demo"):
            arguments = shlex.split(line.partition("#")[0])[2:]
            assert demo_arguments().parse_args(arguments).act in {None, 2}


def test_no_word_that_promises_too_much():
    assert not re.search(r"exactly.once (execution|delivery)", README.replace("not exactly-once execution", ""))
    assert os.sep + "work" + os.sep not in README
    assert sys.version_info >= (3, 11)
