"""Web processes for tests: started with uvicorn on the loopback, asked over HTTP, killed, stopped, woken."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
BOUND = 60.0


class WebProcess:
    """One uvicorn process of ``web_app``."""

    _count = itertools.count(1)

    def __init__(self, home, place, **settings):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
            environment = {
                **os.environ,
                "PROCESS_TEST_HOME": str(home),
                "WEB_STORE": place,
                "PYTHONPATH": f"{HERE.parents[1]}:{HERE}",
                **settings,
            }
            words = ["-m", "uvicorn", "web_app:web", "--fd", str(listener.fileno()), "--log-level", "warning"]
            self._log = (home / f"web.{next(self._count)}.log").open("wb")
            self._process = subprocess.Popen(
                [sys.executable, *words],
                env=environment,
                cwd=home,
                pass_fds=[listener.fileno()],
                stdout=self._log,
                stderr=self._log,
            )
        self.pid = self._process.pid
        self._asking = ThreadPoolExecutor(8)

    def ready(self):
        """Wait until it answers."""
        end = time.monotonic() + BOUND
        while True:
            try:
                return self._open("/ready")
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError(Path(self._log.name).read_text()) from None
                time.sleep(0.05)

    def start(self, call_id, tool, **arguments):
        """Post a call; a future of what comes back."""
        return self._asking.submit(self._open, "/call", {"call_id": call_id, "tool": tool, "arguments": arguments})

    def call(self, call_id, tool, **arguments):
        """Post a call and wait for what comes back."""
        return self.start(call_id, tool, **arguments).result(BOUND)

    def end_conversation(self):
        return self._open("/end", {})

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self._gone()

    def stop(self):
        """As a deployment stops it."""
        self.signal(signal.SIGTERM)
        self._gone()

    def _gone(self):
        self._process.wait(BOUND)
        self._log.close()

    def over(self):
        """Clean up, however the test went."""
        if self._process.poll() is None:
            self._process.kill()
            self._gone()
        self._asking.shutdown(wait=True, cancel_futures=True)

    def _open(self, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        try:
            with urllib.request.urlopen(request, timeout=2 * BOUND) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)
