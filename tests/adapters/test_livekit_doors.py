"""The doors of the LiveKit adapter: contexts go in, watching changes nothing, and what is missing is named."""

import sys

import pytest

pytest.importorskip("livekit.agents", reason="needs the extra: pip install 'toolguard-voice[livekit]'")

from livekit_kit import line, until, wall_follows_loop
from livekit_world import World, booking, guarded, seating

from toolguard import Guard, Phase
from toolguard.adapters import livekit_features
from toolguard.adapters.livekit import function_tools, protect
from toolguard.errors import FeatureMissing

pytestmark = pytest.mark.virtual_time


@pytest.fixture(autouse=True)
async def _one_clock():
    with wall_follows_loop():
        yield


async def test_bodies_get_livekits_context_and_run_in_a_task_of_ours():
    world = World(before=0.0)
    async with guarded(booking, world) as (on, _):
        await on.ears.speaks("book Monday")
        await until(lambda: on.said)
        assert [ctx.session for ctx in world.contexts] == [on.session]
        assert world.tasks == ["toolguard:book"]
        assert on.said == ["Answer: booked Monday"]
        schema = function_tools(world.tools)[0].info.raw_schema
        assert list(schema["parameters"]["properties"]) == ["day"]


async def test_observe_leaves_the_call_to_livekit():
    world = World(before=0.0)
    async with guarded(booking, world, mode="observe") as (on, conversation):
        await on.ears.speaks("book Monday")
        await until(lambda: on.said)
        assert on.said == ["Answer: booked Monday"]
        assert world.tasks == ["tool_exec_book"]
        assert conversation.state.runs[1].phase is Phase.DONE


@pytest.mark.parametrize("before", [True, False], ids=["never", "no_more"])
async def test_without_protect_nothing_runs(before):
    world, on = World(), line(seating)
    if not before:
        async with Guard("memory", tools=world.tools) as guard, protect(on.session, guard, id="conv-1"):
            pass
    await on.start(function_tools(world.tools))
    await on.ears.speaks("find me seats")
    await until(lambda: on.said)
    await on.hangs_up()
    assert world.looked == 0
    assert on.model.requests[-1].last.output == "An internal error occurred"


@pytest.mark.parametrize(("owner", "name"), [("AgentSession", "wait_for_idle"), ("Agent", "llm_node")])
def test_a_missing_feature_is_named(monkeypatch, owner, name):
    monkeypatch.delattr(getattr(livekit_features.agents, owner), name)
    with pytest.raises(FeatureMissing, match=rf"has no {owner}.{name}") as caught:
        livekit_features.require()
    assert caught.value.code == "feature_missing"
    assert caught.value.feature == f"livekit.agents.{owner}.{name}"
    assert caught.value.version == livekit_features.agents.__version__


def test_a_missing_livekit_is_named(monkeypatch):
    for name in [one for one in sys.modules if one == "livekit" or one.startswith(("livekit.", "toolguard.adapters."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "livekit", None)
    with pytest.raises(ImportError, match=r"feature_missing.*toolguard-voice\[livekit\]"):
        __import__("toolguard.adapters.livekit")
