"""Saboteurs for LiveKit's pipeline, where a check's own one changes what only another framework needs."""

from __future__ import annotations

from toolguard.testing.scenarios.kit import Saboteur, sabotages

_ADAPTERS = "toolguard/adapters/"
_CALLS, _CALLER = f"{_ADAPTERS}livekit_calls.py", f"{_ADAPTERS}livekit_caller.py"
_EVENTS, _MOVES = f"{_ADAPTERS}livekit_events.py", f"{_ADAPTERS}livekit_moves.py"
_PORT, _RESPONSES = f"{_ADAPTERS}livekit_port.py", f"{_ADAPTERS}livekit_responses.py"

_SLOW_ANSWERS = Saboteur(
    _PORT,
    old="            answer.set_result(result)\n            if",
    new="            asyncio.get_running_loop().call_later(0.3, answer.set_result, result)\n            if",
)
_SLOW_REQUESTS = Saboteur(
    _MOVES,
    old="        arriving = self._arriving\n        if arriving is None:\n",
    new="        arriving = self._arriving\n        await asyncio.sleep(0.6)\n        if arriving is None:\n",
)
_NO_REPLIES = Saboteur(_PORT, old="            self._room.generate_reply()\n", new="            pass\n")
_HALF_CALLS = Saboteur(
    _RESPONSES,
    old="    except json.JSONDecodeError:\n        return False\n",
    new="    except json.JSONDecodeError:\n        return True\n",
)
_NO_PAIR = Saboteur(_PORT, old='if parcel.form == "incomplete":', new="if not parcel.form:")

sabotages(
    "livekit",
    {
        "S01.1": Saboteur(
            f"{_ADAPTERS}livekit_nodes.py",
            old="item.output = port.answer(item.call_id) or item.output",
            new='item.call_id = "lost"',
        ),
        "S03.3": Saboteur(_PORT, old='if parcel.form == "incomplete":', new="if parcel.form:"),
        "S03.4": _SLOW_ANSWERS,
        "S05.3": Saboteur(
            "toolguard/engine/gate.py",
            old="while waiting.holds or waiting.stopped:",
            new="while waiting.stopped:",
        ),
        "S06.2": Saboteur(_CALLS, old="handle.id not in self._silenced", new="handle.id"),
        "S06.3": _SLOW_REQUESTS,
        "S06.4": Saboteur(
            _PORT,
            old="result = agents.ToolResult(parcel.text, reply_required=reply)",
            new='result = agents.ToolResult("", reply_required=reply)',
        ),
        "S08.2": Saboteur(
            _PORT,
            old="not (session is not None and session.line_taken(parcel.calls))",
            new="session is not None",
        ),
        "S09.1": _NO_REPLIES,
        "S10.3": _NO_REPLIES,
        "S11.1": Saboteur(
            _MOVES,
            old="[item for one in calls for item in self._shown(packet, one, names)]",
            new="[]",
        ),
        "S11.2": Saboteur(
            "toolguard/engine/transfer.py",
            old="            to=agent,\n            frm=frm,",
            new="            to=frm,\n            frm=frm,",
        ),
        "S11.3": Saboteur(
            "toolguard/core/outbox.py",
            old='return {"issued_by": issued, "hand_off": state.handed.packet}',
            new="return {}",
        ),
        "S11.4": Saboteur("toolguard/engine/transfer.py", old="min(patience, self._left(own))", new="100.0"),
        "S12.1": Saboteur(
            _CALLER,
            old="            message.created_at = min(message.created_at, self._silent_since)\n",
            new="            pass\n",
        ),
        "S12.2": _SLOW_REQUESTS,
        "S12.4": Saboteur(_MOVES, old="content=[opening(packet)]", new='content=[""]'),
        "S15.1": _HALF_CALLS,
        "S15.2": Saboteur(
            _PORT,
            old="is_error=True\n            )\n            await self.put([call, output])",
            new="is_error=True\n            )\n            await self.put([call])",
        ),
        "S15.3": _NO_PAIR,
        "S15.4": _NO_PAIR,
        "S16.1": Saboteur(_RESPONSES, old="if guarded and call.call_id in self._ids:", new="if guarded:"),
        "S16.2": Saboteur(_EVENTS, old="(speech), text, unheard=rest", new="(speech), text + rest, unheard=rest"),
        "S16.3": Saboteur(
            "toolguard/testing/livekit/sound.py",
            old="interrupted=cut, synchronized_transcript=heard",
            new="interrupted=cut",
        ),
        "S17.3": Saboteur(
            _CALLER,
            old="none = bool(kinds) and all(no_turn for _, no_turn in kinds)",
            new="none = not kinds",
        ),
        "S18.2": _SLOW_REQUESTS,
        "S18.3": Saboteur(_EVENTS, old="text, unheard=rest, cut", new='text, unheard="", cut'),
    },
)
