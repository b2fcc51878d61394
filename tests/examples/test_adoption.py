"""Guarding an agent: one decorator a tool, at most five other lines, and the bodies stay as they are."""

import ast
import asyncio
import difflib
import json

import pytest
from examples_kit import EXAMPLES, load
from openai import AsyncOpenAI

from toolguard.testing.realtime import Call, RealtimeServer, Reply

TOOLS = ["find_slots", "book_slot", "charge_deposit", "set_reminder"]
DISPATCH = (
    "call_tool",
    "RUNNING",
    "import json",
    "AsyncRealtimeConnection",
    "function_call_arguments.done",
    "connecting",
)
"""What the application needed to run tools by itself, and the one line that is changed."""


def source(which):
    return (EXAMPLES / f"clinic_{which}.py").read_text()


def changes():
    diff = list(difflib.ndiff(source("before").splitlines(), source("after").splitlines()))
    added = [line[2:] for line in diff if line.startswith("+ ") and line[2:].strip()]
    removed = [line[2:] for line in diff if line.startswith("- ") and line[2:].strip()]
    return [line for line in added if not line.startswith('"""')], [
        line for line in removed if not line.startswith('"""')
    ]


def functions(which):
    """Each function without its decorators, by name."""
    found = [
        node for node in ast.parse(source(which)).body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    for node in found:
        node.decorator_list = []
    return {node.name: ast.unparse(node) for node in found}


def test_one_decorator_a_tool_and_at_most_five_other_lines_are_added():
    added, _ = changes()
    decorators = [line for line in added if line.startswith("@")]
    assert len(decorators) == len(TOOLS)
    assert len(added) - len(decorators) <= 5


def test_the_bodies_of_the_tools_are_unchanged():
    before, after = functions("before"), functions("after")
    assert {name: before[name] for name in TOOLS} == {name: after[name] for name in TOOLS}


def test_only_the_dispatch_of_tools_is_removed():
    assert set(functions("before")) - set(functions("after")) == {"call_tool"}
    tree = ast.parse(source("before"))
    dispatcher = next(node for node in tree.body if getattr(node, "name", "") == "call_tool")
    own = ast.get_source_segment(source("before"), dispatcher).splitlines()
    _, removed = changes()
    assert [line for line in removed if line not in own and not any(word in line for word in DISPATCH)] == []


def model(line, request):
    """Books, charges twice because it is impatient, and speaks when all is answered."""
    calls = [item for item in line.conversation if item["type"] == "function_call"]
    if not calls:
        return Reply(
            calls=[
                Call("c1", "book_slot", {"slot": "Mon 10:00", "patient": "Ana"}),
                Call("c2", "set_reminder", {"patient": "Ana", "phone": "+15550100"}),
                Call("c3", "charge_deposit", {"patient": "Ana", "cents": 4000}),
                Call("c4", "charge_deposit", {"patient": "Ana", "cents": 4000}),
            ]
        )
    return Reply(text="Monday at ten is yours, Ana.", audio_ms=400)


async def play(module):
    """One call, answered by an example; returns what the server saw and what was heard."""
    heard = []
    async with RealtimeServer(model=model) as server:
        client = AsyncOpenAI(api_key="any", websocket_base_url=server.url)
        agent = asyncio.create_task(module.answer(client, "conv-42", heard.append))
        line = await server.caller()
        await line.wait_for("session.update")
        await line.caller_says("Monday at ten, please.", seconds=0.1, reply=True)
        await line.until(lambda: len(line.accepted_outputs) >= 4 or None, "four outputs", 10)
        await line.until(lambda: heard or None, "speech", 10)
        await line.idle()
        await line.close()
        await agent
    return line, server


@pytest.mark.parametrize("which", ["before", "after"])
async def test_both_answer_a_call(which, monkeypatch, tmp_path):
    module = load(f"clinic_{which}", monkeypatch, tmp_path)
    line, server = await play(module)
    assert module.BOOKED == {"Mon 10:00": "Ana"}
    assert module.REMINDED == {"Ana": "+15550100"}
    assert server.violations == []
    told = {tool["name"]: tool for tool in line.session["tools"]}
    assert list(told) == TOOLS
    assert told["charge_deposit"]["parameters"]["required"] == ["patient", "cents"]
    if which == "after":
        await module.GUARD.close()


async def test_the_guarded_one_charges_once_and_answers_in_order(monkeypatch, tmp_path):
    before, after = (load(f"clinic_{which}", monkeypatch, tmp_path) for which in ("before", "after"))
    await play(before)
    line, _ = await play(after)
    await after.GUARD.close()
    assert before.CHARGED == [("Ana", 4000)] * 2
    assert after.CHARGED == [("Ana", 4000)]
    assert [output.call_id for output in line.accepted_outputs] == ["c1", "c2", "c3", "c4"]
    assert line.outputs("c3")[0].text == "charge 1"
    assert json.loads(line.outputs("c4")[0].text)["result"] == "charge 1"
    assert line.conversation_problems() == []
    assert all(request.accepted for request in line.response_creates)
