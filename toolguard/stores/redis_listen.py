"""Waits on a thread of its own for news of other processes' records, over a connection of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from loguru import logger
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from toolguard.stores.waking import rouse

if TYPE_CHECKING:
    from collections.abc import Callable

    from toolguard.stores.redis_address import Address

_LOOK = 0.25
"""Seconds between two looks at whether the listening is over."""
_AGAIN = 0.5
"""Seconds between two tries to connect."""
_CONNECT = 5.0


class Listener(threading.Thread):
    """Calls ``wake`` whenever records have landed, and whenever some may have landed unheard.

    Args:
        where: The server.
        wake: Called on this thread; must be quick.
    """

    def __init__(self, where: Address, wake: Callable[[], None]) -> None:
        super().__init__(name="toolguard-listener", daemon=True)
        self._where = where
        self._wake = wake
        self._over = threading.Event()

    def run(self) -> None:
        """Subscribe, over a new connection as often as one is lost, until it is over."""
        told = False
        while not self._over.is_set():
            try:
                self._subscribe()
            except (RedisError, OSError) as error:
                if not told:
                    logger.warning(
                        "toolguard: news from {} are cut off: {}", self._where.shown, self._where.hide(error)
                    )
                told = True
                self._over.wait(_AGAIN)

    def stop(self) -> None:
        """End the listening; the thread lets go of its connection a moment later."""
        self._over.set()

    def end(self) -> None:
        """End the listening and wait until the connection is closed."""
        self._over.set()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(_CONNECT + 2 * _LOOK)

    def _subscribe(self) -> None:
        client: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            self._where.url,
            protocol=2,
            socket_timeout=_CONNECT,
            socket_connect_timeout=_CONNECT,
            socket_keepalive=True,
            health_check_interval=10,
            retry=Retry(NoBackoff(), 0),
        )
        with client, client.pubsub() as news:  # type: ignore[no-untyped-call]
            news.subscribe(f"{self._where.prefix}:news")
            while not self._over.is_set():
                heard = news.get_message(timeout=_LOOK) is not None  # pyright: ignore[reportUnknownMemberType]
                if heard:  # the confirmation too: what landed before it was not heard
                    rouse(self._wake, self._where.shown)
