"""A few seconds of the soak, so that it keeps working: a worker is killed, sockets close, and every promise holds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
def test_a_short_soak_breaks_no_promise_and_says_what_it_did(tmp_path):
    command = [sys.executable, "-m", "tests.soak", "--seconds", "12", "--sessions", "6", "--workers", "2"]
    done = subprocess.run(
        [*command, "--store", "disk", "--seed", "a1", "--home", str(tmp_path), "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    report = json.loads(done.stdout)
    assert (report["broken"], report["seed"]) == ([], "a1")
    assert report["numbers"]["effects of mutations"] > 0
    assert report["numbers"]["sessions"] == 6
    assert "seed a1" in done.stderr


def test_the_soak_explains_itself():
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "--seed" in done.stdout
    assert "promise" in done.stdout
