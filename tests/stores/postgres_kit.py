"""What the tests of the PostgreSQL store share: real processes, plain SQL beside the store, and a line that can be cut."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg


def start(script: str, *args: Any) -> Any:
    """A real process that has the store's names at hand and prints what it has done."""
    prelude = """
        import os, sys, time
        from toolguard.testing.stores.making import append
        from toolguard.stores.postgres import PostgresStore
        say = lambda *words: print(*words, flush=True)
        store = PostgresStore(sys.argv[1], wait=30.0)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(script), *map(str, args)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def until(true: Any, within: float = 60.0) -> Any:
    """Wait for a condition."""
    limit = time.monotonic() + within
    while not (said := true()):
        assert time.monotonic() < limit, "it did not come true"
        time.sleep(0.01)
    return said


def schema_of(place: str) -> str:
    return parse_qs(urlsplit(place).query)["schema"][0]


class Sql:
    """A plain connection beside the store; ``{s}`` stands for the store's schema."""

    def __init__(self, place: str, user: str = "postgres") -> None:
        self.schema = schema_of(place)
        url = place.partition("&schema=")[0].replace("//postgres@", f"//{user}@")
        self._runner = asyncio.Runner()
        self._conn = self._runner.run(asyncpg.connect(url))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            self._runner.run(self._conn.close(timeout=10))
        self._runner.close()

    def __call__(self, sql: str, *values: Any) -> Any:
        """The rows of one statement."""
        return [tuple(row) for row in self._runner.run(self._conn.fetch(sql.replace("{s}", self.schema), *values))]

    def script(self, sql: str) -> None:
        self._runner.run(self._conn.execute(sql.replace("{s}", self.schema)))


class Line:
    """A line between a store and its server: ``swallow`` loses the next answer, ``lose`` the next question.

    While it is ``down`` nobody gets a new line; while ``held`` is clear nothing moves on one.
    """

    def __init__(self, place: str) -> None:
        query = parse_qs(urlsplit(place).query)
        self._target = f"{query['host'][0]}/.s.PGSQL.5432"
        self._folder = tempfile.TemporaryDirectory(prefix="tg-line-")
        home = self._folder.name
        self.place = f"postgresql://postgres@/postgres?host={quote(home, safe='')}&schema={query['schema'][0]}"
        self.fault = ""
        self.down = False
        self.cuts = 0
        self.held = threading.Event()
        self.held.set()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(Path(home) / ".s.PGSQL.5432"))
        self._server.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        self._folder.cleanup()

    def cut(self) -> None:
        """Cut everything that is connected."""
        for pair in self._pairs:
            self._end(pair)
        self._pairs.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                if self.down:
                    raise ConnectionRefusedError
                server.connect(self._target)
            except OSError:
                client.close()
                server.close()
                continue
            pair = (client, server)
            self._pairs.append(pair)
            threading.Thread(target=self._pump, args=(client, server, pair, "lose"), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, pair, "swallow"), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, pair: Any, fault: str) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self.fault == fault:
                    self.fault = ""
                    self.cuts += 1
                    break
                self.held.wait()
                target.sendall(data)
        self._end(pair)

    @staticmethod
    def _end(pair: tuple[socket.socket, socket.socket]) -> None:
        for end in pair:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
