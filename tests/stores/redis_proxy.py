"""A line to a server that a test can cut or hold at will: a proxy on the loopback, one thread for each direction."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes on between clients and a server.

    Attributes:
        cut_answers: While True an answer is thrown away and its connection is cut instead.
        hold: While set, requests stay here (their connections look alive); :meth:`let_go` passes them on.
        down: While True new connections are closed at once.
        trap: A request that holds these bytes is passed on, its answer is thrown away, and the line is down.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f":{parts.port}", f":{self._listener.getsockname()[1]}")
        self.cut_answers = False
        self.down = False
        self.trap = b""
        self.held: list[tuple[Any, bytes]] = []
        self.hold = False
        self.dropped = threading.Semaphore(0)
        self._lines: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut every connection."""
        lines, self._lines = self._lines, []
        for line in lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def let_go(self) -> None:
        """Pass on what was held, in order, as a network does that was slow."""
        held, self.held, self.hold = self.held, [], False
        for line, data in held:
            with contextlib.suppress(OSError):
                line.sendall(data)

    def close(self) -> None:
        self.down = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            self._lines += [client, server]
            for work in (self._requests, self._answers):
                threading.Thread(target=work, args=(client, server), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if self.trap and self.trap in data:
                    self.cut_answers = self.down = True
                    self.trap = b""
                if self.hold:
                    self.held.append((server, data))
                else:
                    server.sendall(data)
        if not any(line is server for line, _ in self.held):
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self.cut_answers:
                    self.cut_answers = False
                    self.dropped.release()
                    break
                client.sendall(data)
        for line in (client, server):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)  # closing alone does not wake the thread that reads from it
            line.close()
