"""Where a suite runs: a checkout of its repository and a virtual environment of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .suites import Suite

ROOT = Path(__file__).parents[2]
_GIT = shutil.which("git") or "git"


@dataclass(frozen=True, slots=True)
class Ground:
    """A place in which the suite can be run.

    Attributes:
        tests: The checkout.
        python: The interpreter of its environment.
        commit: Which commit the tests are from.
        tag: Its tag.
        version: The version of the framework that is under test.
    """

    tests: Path
    python: Path
    commit: str
    tag: str
    version: str


def prepared(suite: Suite, work: Path, repository: Path | None, version: str = "") -> Ground:
    """Check out the tests and make the environment; what is there already is used again.

    Raises:
        SystemExit: git or pip failed; what they said has been printed.
    """
    version = version or metadata.version(suite.distribution)
    work.mkdir(parents=True, exist_ok=True)
    git = _repository(suite, work, repository)
    commit, tag = _nearest(git, suite.tag, version)
    tests = work / f"{suite.name}-{commit[:12]}"
    if not tests.exists():
        _check_out(git, commit, suite.paths, tests)
    return Ground(tests, _environment(suite, work, version), commit, tag, version)


def _repository(suite: Suite, work: Path, given: Path | None) -> Path:
    if given is not None:
        inner = given / ".git"
        return inner if inner.exists() else given
    cloned = work / f"{suite.name}.git"
    if not cloned.exists():
        say(f"cloning {suite.address}")
        run([_GIT, "clone", "--quiet", "--bare", suite.address, str(cloned)])
    return cloned


def _nearest(git: Path, pattern: str, version: str) -> tuple[str, str]:
    """The tag of the version under test, or else the newest one before it that is there."""
    found = _git(git, "tag", "--list", pattern.format(version="[0-9]*"), "--sort=-version:refname").split()
    before, _, after = pattern.partition("{version}")
    known = {tag.removeprefix(before).removesuffix(after): tag for tag in found}
    old_enough = [
        one for one in known if _numbers(one) is not None and (_numbers(one) or ()) <= (_numbers(version) or ())
    ]
    if not old_enough:
        raise SystemExit(f"the repository has no tag like {pattern} up to {version}")
    tag = known[old_enough[0]]
    return _git(git, "rev-parse", f"{tag}^{{commit}}").strip(), tag


def _numbers(version: str) -> tuple[int, ...] | None:
    """A released version's numbers; None for a candidate."""
    parts = version.split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else None


def _check_out(git: Path, commit: str, paths: Sequence[str], to: Path) -> None:
    """Take the files that the repository really has: a partial copy lists large ones that are absent."""
    listed = [line.split(None, 3)[2:] for line in _git(git, "ls-tree", "-r", commit, *paths).splitlines()]
    answers = _git(git, "cat-file", "--batch-check", given="\n".join(blob for blob, _ in listed)).splitlines()
    absent = [path for (_, path), answer in zip(listed, answers, strict=True) if answer.endswith("missing")]
    if absent:
        say(f"not in this copy of the repository, left out: {', '.join(absent)}")
    half = to.with_suffix(".half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    packed = half / "checkout.tar"
    without = [f":(exclude){path}" for path in absent]
    _git(git, "archive", "--output", str(packed), commit, *paths, *without)
    run(["tar", "--extract", "--file", str(packed), "--directory", str(half)])
    packed.unlink()
    half.rename(to)


def _environment(suite: Suite, work: Path, version: str) -> Path:
    home = work / f"{suite.name}-{version}-py{sys.version_info.major}{sys.version_info.minor}"
    python, done = home / "bin" / "python", home / ".installed"
    if not done.exists():
        say(f"installing {suite.distribution} {version} and what its tests need into {home}")
        run([sys.executable, "-m", "venv", str(home)])
        wanted = f"{suite.distribution}[{','.join(suite.extras)}]=={version}"
        run([str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", wanted, *suite.needs])
    # The guard itself is always the one of this checkout.
    run([str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--editable", str(ROOT)])
    done.touch()
    return python


def _git(git: Path, *arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        [_GIT, f"--git-dir={git}", *arguments], input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def run(command: Sequence[str]) -> None:
    """Run a command that has to succeed."""
    done = subprocess.run(list(command), check=False, stdout=sys.stderr, env={**os.environ, "PIP_NO_INPUT": "1"})
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} ... ended with {done.returncode}")


def say(text: str) -> None:
    """Tell what is going on."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
