"""``python -m toolguard.testing.demo.worker``: the process that serves the call of the second act, and is killed."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from openai import AsyncOpenAI

from toolguard.testing.demo.second.office import Office
from toolguard.testing.demo.second.serving import GuardedCall, NaiveCall

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Serve one call until its line ends.

    Args:
        argv: The arguments, without the program's name.
    """
    given = _parser().parse_args(argv)
    client = AsyncOpenAI(api_key="none is needed", websocket_base_url=given.server)
    office = Office(Path(given.ledger))
    if given.naive:
        call: GuardedCall | NaiveCall = NaiveCall(client, office, Path(given.ledger).with_suffix(".transcript"))
    else:
        call = GuardedCall(client, office, given.store, given.session, report=_report, hung_up=_hung_up)
    asyncio.run(call.serve(again=given.again))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m toolguard.testing.demo.worker")
    parser.add_argument("--server", required=True, help="where the model is")
    parser.add_argument("--ledger", required=True, help="the file of what has happened")
    parser.add_argument("--store", default="", help="the guard's store")
    parser.add_argument("--session", default="", help="the conversation's id")
    parser.add_argument("--naive", action="store_true", help="without toolguard")
    parser.add_argument("--again", action="store_true", help="go on with a call whose worker has died")
    return parser


async def _hung_up() -> None:
    """The caller is there for as long as our input is open."""
    await asyncio.to_thread(sys.stdin.read)


def _report(what: str, told: object) -> None:
    sys.stdout.write(json.dumps({what: told}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
