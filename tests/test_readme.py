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

from toolguard import policies
from toolguard.core import envelope
from toolguard.testing.realtime import Call, RealtimeServer, Reply

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
    assert [link for link in links if not (ROOT / link).exists()] == []


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
    assert len(read.printed) == 4
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


def test_no_word_that_promises_too_much():
    assert not re.search(r"exactly.once (execution|delivery)", README.replace("not exactly-once execution", ""))
    assert os.sep + "work" + os.sep not in README
    assert sys.version_info >= (3, 11)
