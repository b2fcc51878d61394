"""What some adapters can do and others cannot: a check that needs it is not applicable where it is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HOOKS: Mapping[str, str] = {
    "cancel_frame": "a frame by which the provider cancels one call by its id",
    "silent_output": "an output that says that no reply is wanted",
    "two_agents": "a second agent that the conversation can be handed to",
    "second_line": "opening the provider's connection again within the play",
    "second_process": "another process that goes on with the session",
    "http_calls": "calls that come in as web requests",
    "repeated_ids": "a call that comes again under its id while it runs",
    "half_calls": "a call that can be seen before its arguments are complete",
    "text_arguments": "a call whose arguments are the text that the model wrote, whether it is JSON or not",
    "queued_speech": "a framework that asks its model for the next words while the last ones are still heard",
    "refused_replies": "a provider that refuses a reply while another one is active",
    "fixed_speech": "a platform that can be told not to stop its speech for the caller",
    "replaced_responses": "a framework that replaces a response because the caller's turn goes on",
    "frame_order": "frames of a call that reach the client one by one, so that their order can be changed",
    "tool_choice": "a way for the session to tell its model not to call tools, and a model that does it all the same",
}
"""What some adapters can do and others cannot, by name; see :attr:`~.kit.Driver.hooks`."""

PLAYED_BY: Mapping[str, str] = {
    "provider.closes": "second_line",
    "provider.opens": "second_line",
    "provider.warns": "second_line",
}
"""Steps that only a driver with a hook can play, by verb."""
