"""What befalls the application itself: its store is slow or dead, its task is cancelled."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from toolguard.testing.scenarios.second_process import is_killed, stands_by

if TYPE_CHECKING:
    from collections.abc import Generator

    from toolguard.testing.scenarios.data import Step
    from toolguard.testing.scenarios.stage import Act, Stage

_AGAIN = 0.01


def is_slow(stage: Stage, step: Step) -> None:
    """From here on every call of the store takes its time; the naive application has none."""
    if stage.store is not None:
        stage.store.seconds = step.ms / 1000


def dies(stage: Stage, _step: Step) -> None:
    """From here on no call of the store returns."""
    if stage.store is not None:
        stage.store.die()


def is_cancelled(_stage: Stage, _step: Step) -> None:
    """Somebody cancels the application's task, and again while it leaves, as servers do that lose their patience."""
    task = asyncio.current_task()
    if task is not None:
        task.cancel()
        asyncio.get_running_loop().call_later(_AGAIN, task.cancel)


@contextmanager
def torn_down() -> Generator[None]:
    """What is cancelled inside ends here."""
    task = asyncio.current_task()
    try:
        yield
    except asyncio.CancelledError:
        while task is not None and task.uncancel():
            pass


TROUBLES: dict[str, Act] = {
    "store.is_slow": is_slow,
    "store.dies": dies,
    "app.is_cancelled": is_cancelled,
    "process.dies": is_killed,
    "process.starts": stands_by,
    "process.rival": stands_by,
}
"""Steps of trouble, which every stage plays in the same way."""
