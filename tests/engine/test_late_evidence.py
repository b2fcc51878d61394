"""Evidence of a process that was thought to be dead reaches the session's new owner while it lives (T1, L4)."""

import asyncio
import json

import msgspec
import pytest

import toolguard
from toolguard import DidNotHappen, Guard
from toolguard.core import records as r
from toolguard.engine.clock import LoopClock
from toolguard.engine.port import Traits
from toolguard.engine.resolve import catch_up_all
from toolguard.stores.base import Append
from toolguard.stores.memory import MemoryStore
from toolguard.testing.fake_port import RecordingPort

pytestmark = pytest.mark.virtual_time


@toolguard.mutation(identity="who", time_limit=1, hard_limit=2, settles_within=0.1)
async def charge(who: str) -> str:
    raise ConnectionError("the answer was lost")


@charge.probe
async def find(attempt: toolguard.Attempt, who: str) -> toolguard.Finding[str]:
    return DidNotHappen(evidence="nothing was found")


async def test_l4_a_result_that_lands_behind_a_probe_is_told_once_as_done_after_all():
    store, port = MemoryStore(), RecordingPort(Traits(adapter="test", speech_ends=True))
    async with Guard(store, tools=[charge], clock=LoopClock()) as guard, guard.session("conv-1", port=port) as session:
        port.attach(session)
        session.receive("c1", "charge", {"who": "Ana"})
        await asyncio.sleep(30)
        assert session.state.runs[1].phase is toolguard.Phase.FAILED
        late = r.encode(r.Returned(run=1, attempt=1, result=msgspec.Raw(b'"ch_1"')), 0)
        store.commit([Append("conv-1", None, (late,), durable=True)])
        for _ in range(2):
            await catch_up_all(guard.sessions)
        run = session.state.runs[1]
        assert (run.phase, run.happened, run.result) == (toolguard.Phase.FAILED, True, b'"ch_1"')
        assert [json.loads(note.text)["toolguard"] for note in port.notes] == ["error", "done_after_all"]
