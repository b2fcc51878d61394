"""Saboteurs for Pipecat's pipeline, where a check's own one changes what only another framework needs."""

from __future__ import annotations

from toolguard.testing.scenarios.kit import Saboteur, sabotages

_ADAPTERS = "toolguard/adapters/"
_CALLER, _CONTEXT = f"{_ADAPTERS}pipecat_caller.py", f"{_ADAPTERS}pipecat_context.py"
_EVENTS, _PORT = f"{_ADAPTERS}pipecat_events.py", f"{_ADAPTERS}pipecat_port.py"
_PREFILL = f"{_ADAPTERS}pipecat_prefill.py"

_PUT_ELSEWHERE = Saboteur(
    _CONTEXT, old='    message["content"] = text\n', new='    message.update(content=text, tool_call_id="")\n'
)
_SLOW_REQUESTS = Saboteur(
    _EVENTS,
    old="        if isinstance(frame, frames.LLMContextFrame) and self.port is not None:\n",
    new="        if isinstance(frame, frames.LLMContextFrame) and self.port is not None:\n"
    "            await asyncio.sleep(0.6)\n",
)
_ASKS_TWICE = Saboteur(
    _PORT, old="FunctionCallResultProperties(run_llm=False,", new="FunctionCallResultProperties(run_llm=True,"
)
_REPAIRED = Saboteur(
    "toolguard/testing/scenarios/context_stage.py",
    old="            if step.does in _SPOKEN:\n                yield step\n",
    new="            if step.does in _SPOKEN:\n                yield step\n"
    '            else:\n                yield Step(at=0, who="model", does="calls", call="c1", tool="book",'
    ' args={"people": 6, "at": "18:00"})\n',
)
_NOT_HELD = Saboteur(_EVENTS, old="await self.port.answered(awaited, _HELD_AT_MOST)", new="await asyncio.sleep(0)")
_ALL_HEARD = Saboteur(_EVENTS, old="unheard=_rest(said, heard) if cut else", new='unheard="" if cut else')

sabotages(
    "pipecat",
    {
        "S01.1": _PUT_ELSEWHERE,
        "S03.4": Saboteur(_PORT, old="        self._task.cancel()\n", new=""),
        "S05.3": Saboteur(
            "toolguard/engine/gate.py",
            old="while waiting.holds or waiting.stopped:",
            new="while waiting.stopped:",
        ),
        "S06.3": _SLOW_REQUESTS,
        "S06.4": Saboteur(
            _CONTEXT, old="        if not kind or kind not in seen:\n", new='        if kind != "output":\n'
        ),
        "S08.1": _PUT_ELSEWHERE,
        "S08.2": _ASKS_TWICE,
        "S09.1": _ASKS_TWICE,
        "S11.1": Saboteur(_PREFILL, old="[*self._own, *given]", new="[*self._own, *given[:-1]]"),
        "S11.4": Saboteur("toolguard/engine/transfer.py", old="min(patience, self._left(own))", new="100.0"),
        "S12.1": Saboteur(
            _PREFILL, old='        self._bring()\n        self._session.shows("amended")', new="        self._bring"
        ),
        "S12.2": Saboteur(_CALLER, old="_NOTHING, False, True", new="frame.text, False, True"),
        "S15.1": _REPAIRED,
        "S15.2": _REPAIRED,
        "S15.3": _REPAIRED,
        "S16.1": _PUT_ELSEWHERE,
        "S16.2": Saboteur(_EVENTS, old="(generation, heard, unheard=", new="(generation, said, unheard="),
        "S16.3": Saboteur(
            "toolguard/testing/pipecat/voice.py",
            old="self.cuts.append((now, self._text, now - self._began))",
            new="self.cuts.append((now, self._text, now))",
        ),
        "S17.3": Saboteur(
            _CALLER, old='_NO_TURN = frozenset({"noise", "backchannel"})', new="_NO_TURN = frozenset[str]()"
        ),
        "S18.2": _NOT_HELD,
        "S18.3": _ALL_HEARD,
    },
)
