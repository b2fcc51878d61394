"""Frames on the wire: the official types decide which event is valid, in both directions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, get_args

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

Event = dict[str, Any]
"""One event as it stands on the wire, decoded from JSON."""


class ScriptError(Exception):
    """The script of a test did what the real server never does; the test is wrong, not the client."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One event that crossed the line.

    Attributes:
        at: When it crossed, on the server's clock.
        event: The event, decoded from JSON.
    """

    at: float
    event: Event

    @property
    def type(self) -> str:
        """The event's type, for example ``response.create``."""
        return str(self.event.get("type"))


@dataclass(frozen=True, slots=True)
class Violation:
    """A client's frame that the official types do not allow.

    Attributes:
        at: When it came, on the server's clock.
        line: Number of the line on which it came, from 1.
        raw: The frame as it came.
        problem: What is wrong with it.
    """

    at: float
    line: int
    raw: str
    problem: str


class Malformed(Exception):  # noqa: N818 - it describes a frame, and is answered rather than reported
    """A frame that the official types do not allow."""

    event_id: str | None = None

    def __init__(self, problem: str, *, code: str = "invalid_value", param: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.code = code
        self.param = param


def _members(union: object) -> Mapping[str, type[BaseModel]]:
    """Maps each event type of an official union to its model."""
    models = cast("tuple[type[BaseModel], ...]", get_args(get_args(union)[0]))
    return {name: model for model in models for name in get_args(model.model_fields["type"].annotation)}


CLIENT_EVENTS = _members(RealtimeClientEvent)
SERVER_EVENTS = _members(RealtimeServerEvent)


def parse_client_frame(raw: str | bytes) -> Event:
    """Decodes and validates what a client sent.

    Args:
        raw: The frame as it came.

    Returns:
        The event.

    Raises:
        Malformed: The frame is no JSON object, has an unknown type, or breaks its type's model.
    """
    try:
        decoded: object = json.loads(raw)
    except ValueError as broken:
        raise Malformed(f"The frame is not JSON: {broken}", code="invalid_json") from broken
    if not isinstance(decoded, dict):
        raise Malformed("The frame is not a JSON object.", code="invalid_json")
    event = cast("Event", decoded)
    try:
        _validate(_without_references(event), CLIENT_EVENTS)
    except Malformed as bad:
        bad.event_id = str(event["event_id"]) if "event_id" in event else None
        raise
    return event


def check_server_event(event: Event) -> None:
    """Validates an event that the script is about to send.

    Args:
        event: The event.

    Raises:
        ScriptError: The official types do not allow it.
    """
    try:
        _validate(event, SERVER_EVENTS)
    except Malformed as bad:
        raise ScriptError(f"The script would send an invalid event: {bad.problem} {json.dumps(event)[:400]}") from bad


def _without_references(event: Event) -> Event:
    """Leaves out references to items in a reply's input: the client's own type for them is not in the union."""
    response: object = event.get("response")
    if event.get("type") != "response.create" or not isinstance(response, dict):
        return event
    fields = cast("Event", response)
    if not isinstance(fields.get("input"), list):
        return event
    items = [item for item in cast("list[Event]", fields["input"]) if item.get("type") != "item_reference"]
    return {**event, "response": {**fields, "input": items}}


def _validate(event: Event, members: Mapping[str, type[BaseModel]]) -> None:
    name: object = event.get("type")
    if not isinstance(name, str) or name not in members:
        raise Malformed(f"Invalid value: {name!r} is no event type here.", param="type")
    try:
        checked = members[name].model_validate(event, strict=True)
    except ValidationError as refused:
        raise _explain(name, refused) from refused
    if cast("Any", checked).type != name:
        raise Malformed(f"{name} was read as {cast('Any', checked).type}.", param="type")


def _explain(name: str, refused: ValidationError) -> Malformed:
    """Names the first error that belongs to the member meant, not to the other members of a nested union."""
    errors = refused.errors(include_url=False, include_input=False)
    strange = [e for e in errors if e["type"] == "literal_error" and _names_a_member(e["loc"])]
    foreign = {e["loc"][:-1] for e in strange}
    first = ([e for e in errors if e["loc"][:-1] not in foreign] or strange)[0]
    path = ".".join(str(step) for step in first["loc"] if not _is_model(step))
    code = "missing_required_parameter" if first["type"] == "missing" else "invalid_value"
    return Malformed(f"{name}: '{path}': {first['msg']}.", code=code, param=path)


def _names_a_member(place: tuple[int | str, ...]) -> bool:
    """Whether this is the field by which a member of a nested union is told from the others."""
    return len(place) > 1 and place[-1] in {"type", "role"} and _is_model(place[-2])


def _is_model(step: int | str) -> bool:
    """Whether a step of an error's place is the name of a model, which is no part of the event."""
    return str(step)[:1].isupper()
