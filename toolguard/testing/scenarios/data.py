"""The scenarios as data: their tools, timelines and sentences, read from ``scenarios.toml``.

A timeline's steps are ``who.does`` at a time in milliseconds. Steps of the model, caller, app, provider, platform,
network, process, store, loop and history are played. Steps of ``tool`` and ``guard`` are not played: they say when a
tool is done and with what (``tool.returns``), or what is expected of the runtime about then.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Literal

import msgspec

Effect = Literal["read", "idempotent_write", "mutation", "handoff"]


class ToolPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool of a scenario.

    Attributes:
        name: Its name.
        effect: What it does to the world.
        ms: How long its body takes.
        commits_at: Milliseconds after its begin at which it passes its point of no return; None for a tool that has
            none of its own (a write then commits at its start).
        takes: Its parameters by name, as JSON schema types.
        identity: The parameters that make two calls the same.
        sync: Whether its body blocks a thread.
        terminal: Whether it ends the conversation.
        shield: Whether it is not to be interrupted.
        undo: The tool that takes it back, if one is declared.
        probe: Whether it has a probe, which looks into the ledger of side effects.
        options: More options of the decorator, as they are.
    """

    name: str
    effect: Effect
    ms: float
    commits_at: float | None = None
    takes: dict[str, str] = {}
    identity: tuple[str, ...] = ()
    sync: bool = False
    terminal: bool = False
    shield: bool = False
    undo: str = ""
    probe: bool = False
    options: dict[str, Any] = {}


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a timeline.

    Attributes:
        at: Milliseconds; may be negative.
        who: Who acts.
        does: What they do; ``verb`` is both together.
        call: The provider's call id.
        tool: The tool that is called.
        args: The call's arguments; text is sent as it is, valid JSON or not.
        generation: The model response that the step belongs to, by the scenario's own name for it.
        text: What is said, or a word about the step.
        means: What a caller's words mean.
        ms: How long it takes.
        value: What the tool returns.
        raises: What the tool raises instead.
        keep: Leaves the response open after this call, until something ends it.
        agent: The agent that has the conversation.
        line: The provider's connection.
        code: A close code.
        nth: Which delivery of the same call it is.
    """

    at: float
    who: str
    does: str
    call: str = ""
    tool: str = ""
    args: dict[str, Any] | str = {}
    generation: str = ""
    text: str = ""
    means: str = ""
    ms: float = 0.0
    value: Any = None
    raises: str = ""
    keep: bool = False
    agent: str = ""
    line: str = ""
    code: int = 0
    nth: int = 1

    @property
    def verb(self) -> str:
        """The step in two words: ``caller.starts``."""
        return f"{self.who}.{self.does}"


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One story.

    Attributes:
        id: ``S01``.
        title: What happens.
        today: What is seen without a runtime that cares.
        reports: Public reports of it.
        invariants: Which invariants it covers.
        tools: Its tools.
        steps: Its timeline.
        must: Its assertions, by id.
        later: What has to exist before any adapter can play it; empty where one can.
    """

    id: str
    title: str
    today: str
    reports: tuple[str, ...]
    invariants: tuple[str, ...]
    tools: tuple[ToolPlan, ...]
    steps: tuple[Step, ...]
    must: dict[str, str]
    later: str = ""


class Collection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All scenarios, and the sentences of their invariants."""

    invariants: dict[str, str]
    scenario: tuple[Scenario, ...]


@cache
def collection() -> Collection:
    """All scenarios, in order of their ids."""
    text = files(__package__ or "").joinpath("scenarios.toml").read_bytes()
    return msgspec.toml.decode(text, type=Collection)


def scenario(id_: str) -> Scenario:
    """One scenario.

    Raises:
        KeyError: There is none with this id.
    """
    for one in collection().scenario:
        if one.id == id_:
            return one
    raise KeyError(f"there is no scenario {id_}; there are {', '.join(one.id for one in collection().scenario)}")
