"""A pytest plugin for both kinds of runs: a test's loop is closed within some seconds, whatever its tasks do.

A test that fails for its age can leave a task behind that does not let itself be cancelled. asyncio waits for it without
a limit when the loop is closed, where pytest-timeout, which has spoken already, does not help.
"""

from __future__ import annotations

import asyncio
from asyncio import runners

SECONDS = 5.0


def _cancel_all_tasks(loop: asyncio.AbstractEventLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.wait(left, timeout=SECONDS))


runners._cancel_all_tasks = _cancel_all_tasks
