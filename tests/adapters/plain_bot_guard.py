"""What the tools of the plain bot do to the world: all that is needed to guard it from outside."""

import os

import plain_bot_tools

import toolguard

book = toolguard.mutation(identity="slot")(plain_bot_tools.book)
guard = toolguard.Guard(os.environ["PLAIN_BOT_JOURNAL"], tools=[book], mode=os.environ.get("PLAIN_BOT_MODE", "enforce"))


def session(worker):
    """The conversation of a worker."""
    return {"id": "conv-42", "caller": "+15550100"}
