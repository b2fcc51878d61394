"""Reads what processes have left behind: journals, states, chains, and the world."""

from app import store_of, world

from toolguard.core import records as r
from toolguard.core.chain import verify
from toolguard.core.law import Phase
from toolguard.core.state import State
from toolguard.stores.disk import DiskStore

SEEN: list[str] = []
"""What is shown at the end of the run."""


class Journal:
    """A directory's journals as they lie on disk, opened for reading alone."""

    def __init__(self, home) -> None:
        self._home = home

    def __enter__(self):
        on_disk = not (self._home / "place").exists()
        self.store = DiskStore(self._home / "journal", readonly=True) if on_disk else store_of(self._home)
        self.store.open("the test")
        return self

    def __exit__(self, *_exc):
        self.store.close()

    def sessions(self):
        return [row.session for row in self.store.sessions(limit=10_000)]

    def frames(self, session):
        found, after = [], 0
        while page := self.store.read(session, after=after):
            found += page
            after = page[-1].seq
        return found

    def records(self, session, kind=r.Record):
        every = [r.decode(frame.kind, frame.version, frame.payload) for frame in self.frames(session)]
        return [record for record in every if isinstance(record, kind)]

    def state(self, session):
        state = State(session)
        for frame in self.frames(session):
            state.apply(r.decode(frame.kind, frame.version, frame.payload), frame.at)
        return state

    def verify(self, session):
        """Every record from the first to the newest is there, in its place, and chained to the one before."""
        rows, after = [], 0
        while page := self.store.raw(session, after=after):
            rows += page
            after = page[-1][0]
        head = self.store.session(session)
        return verify(rows, anchor=(head.seq, head.chain) if head.seq else None)

    def quarantine(self, session):
        """Seconds from the commit record to a probe's "did not happen"; None where there was none."""
        at = {}
        for frame in self.frames(session):
            record = r.decode(frame.kind, frame.version, frame.payload)
            at[type(record), getattr(record, "source", "")] = frame.at
        ended = at.get((r.Failed, "probe"))
        return None if ended is None else (ended - at[r.CommitBegan, ""]) / 1e9

    def run_phase(self, session):
        """How the session's one run stands for whoever recovers it; empty where nothing was written of it."""
        runs = list(self.state(session).runs.values())
        assert len(runs) <= 1, runs
        return as_found(runs[0].phase) if runs else ""


def as_found(phase):
    """The phase as recovery finds it: what had begun counts as planned, what was committing is in doubt (H4)."""
    if phase is Phase.STARTED:
        return Phase.PLANNED
    return Phase.IN_DOUBT if phase is Phase.COMMITTING else phase


def lines(home, who, what="did"):
    """The world's lines about one caller."""
    return [line for line in world(home) if line["who"] == who and line["what"] == what]
