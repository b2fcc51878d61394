"""The agents that are guarded: LiveKit's hotel receptionist and Pipecat's bot with direct functions, both as published."""

from __future__ import annotations

from tests.adoption.recipe import Addition, Change, Recipe

_WRITES = {
    "record_followup": '"kind", "caller_phone"',
    "record_group_inquiry": '"company", "check_in"',
    "schedule_wakeup_call": '"room", "call_date", "call_time"',
    "dispatch_emergency": '"room", "kind"',
    "book_tour": '"tour", "on_date", "guest_phone"',
    "book_spa_appointment": '"service", "on_date", "at_time", "guest_phone"',
    "book_business_center": '"service", "on_date", "at_time", "guest_phone"',
    "order_flowers": '"arrangement", "on_date", "deliver_to"',
    "transfer_call": '"destination",',
    "request_flight_reconfirmation": '"flight_number", "flight_date"',
    "book_airport_car": '"room", "pickup_date", "pickup_time"',
    "take_guest_message": '"recipient", "message"',
}
_TOOLS = tuple(
    Addition(f"async def {name}(", f"@mutation(identity=({names}), did_not_happen=ToolError)")
    for name, names in _WRITES.items()
)

HOTEL = Recipe(
    framework="livekit",
    repository="livekit/agents",
    commit="da6af86ac640a3bc54585764e64321d7048c1c16",
    folder="examples/hotel_receptionist",
    changes=(
        Change(
            "tools_services.py",
            (
                Addition('logger = logging.getLogger("hotel-receptionist")', "from toolguard import idempotent_write, mutation, read"),
                *_TOOLS,
                Addition("async def lookup_guest_history(", "@read"),
                Addition("async def set_do_not_disturb(", '@idempotent_write(identity="room", did_not_happen=ToolError)'),
                Addition("async def add_to_waitlist(", '@mutation(identity=("phone", "check_in", "check_out"))'),
            ),
        ),
        Change(
            "agent.py",
            (
                Addition("load_dotenv(", "from toolguard import Guard"),
                Addition("logger = logging.getLogger(", "from toolguard.adapters.livekit import protect"),
                Addition("server = AgentServer()", 'GUARD = Guard("journal")'),
                Addition("await session.start(", "await protect(session, GUARD, id=ctx.job.id)"),
            ),
        ),
    ),
)  # fmt: skip

DIRECT = Recipe(
    framework="pipecat",
    repository="pipecat-ai/pipecat",
    commit="acead0507d7de44e216d24533964106ca1d1d044",
    folder="examples/function-calling",
    changes=(
        Change(
            "function-calling-direct.py",
            (
                Addition("from pipecat.audio.vad.silero import", "from toolguard import Guard, read"),
                Addition("load_dotenv(override=True)", "from toolguard.adapters.pipecat import protect"),
                Addition("async def get_current_weather(", "@read"),
                Addition("async def get_restaurant_recommendation(", "@read"),
                Addition("transport_params = {", 'GUARD = Guard("journal")'),
                Addition("await runner.run()", "await protect(worker, GUARD, id=runner_args.session_id)"),
            ),
        ),
    ),
)

RECIPES = {one.framework: one for one in (HOTEL, DIRECT)}
