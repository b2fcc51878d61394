"""Saboteurs for LiveKit's realtime models, where a check's own one changes what only another framework needs."""

from __future__ import annotations

from toolguard.testing.scenarios.kit import Saboteur, sabotages

_ADAPTERS = "toolguard/adapters/"
_CALLER, _PORT = f"{_ADAPTERS}livekit_realtime_caller.py", f"{_ADAPTERS}livekit_realtime_port.py"
_SHARED_MOVES = f"{_ADAPTERS}livekit_moves.py"

_NOTHING_DISCARDED = Saboteur(
    _CALLER, old="            self._session.discarded(generation)\n", new="            pass\n"
)
_NO_ANSWERS = Saboteur(
    _PORT,
    old="            self._give_beside(self._pass(parcel, answer, result))\n",
    new="            pass\n",
)
_SLOW_ANSWERS = Saboteur(
    _PORT,
    old="        if self._able.mutable_chat_context:\n            giving",
    new="        if self._able.mutable_chat_context:\n            await asyncio.sleep(0.6)\n            giving",
)
_NO_REPLIES = Saboteur(
    _PORT,
    old="        handle = self._room.generate_reply()\n        await",
    new="        return\n        await",
)
_HALF_CALLS = Saboteur(
    _PORT,
    old="    except json.JSONDecodeError:\n        return False\n",
    new="    except json.JSONDecodeError:\n        return True\n",
)

sabotages(
    "livekit_realtime",
    {
        "S03.3": Saboteur(
            f"{_ADAPTERS}livekit_realtime_provider.py",
            old="id=parcel.item, call_id=parcel.call_id, name=call.name",
            new='id=f"{parcel.item[:20]}_2", call_id=parcel.call_id, name=call.name',
        ),
        "S03.4": _SLOW_ANSWERS,
        "S05.3": Saboteur(
            "toolguard/engine/gate.py",
            old="while waiting.holds or waiting.stopped:",
            new="while waiting.stopped:",
        ),
        "S05.4": _NOTHING_DISCARDED,
        "S06.3": Saboteur(
            f"{_ADAPTERS}livekit_realtime_turns.py",
            old='"create_response": not self.managed}',
            new='"create_response": False}',
        ),
        "S06.4": _NO_ANSWERS,
        "S09.1": _NO_REPLIES,
        "S10.3": _NO_REPLIES,
        "S11.1": Saboteur(
            _SHARED_MOVES,
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
            _CALLER, old="            self._port.rebuilt()  #", new="            self._port.forget(item)  #"
        ),
        "S12.2": _NO_REPLIES,
        "S12.4": Saboteur(_SHARED_MOVES, old="content=[opening(packet)]", new='content=[""]'),
        "S15.1": _HALF_CALLS,
        "S15.3": Saboteur(
            "toolguard/engine/intake.py",
            old='form: r.Form = "incomplete" if kept else "withdrawn"',
            new='form: r.Form = "withdrawn"',
        ),
        "S15.4": Saboteur(
            f"{_ADAPTERS}livekit_realtime_calls.py",
            old="item=call.id, reply=True)",
            new="item=call.id, reply=False)",
        ),
        "S16.1": _NO_ANSWERS,
        "S16.2": Saboteur(
            f"{_ADAPTERS}livekit_realtime_events.py",
            old="(speech), heard, unheard=unheard",
            new="(speech), heard + unheard, unheard=unheard",
        ),
        "S16.3": Saboteur(
            "toolguard/testing/livekit/sound.py",
            old="playback_position=played, interrupted=cut,",
            new="playback_position=played / 2, interrupted=cut,",
        ),
        "S17.3": Saboteur(
            f"{_ADAPTERS}livekit_realtime_turns.py",
            old='"create_response": not self.managed}',
            new='"create_response": True}',
        ),
        "S18.3": Saboteur(
            f"{_ADAPTERS}livekit_realtime_events.py",
            old="unheard=unheard, cut=True",
            new='unheard="", cut=True',
        ),
    },
)
