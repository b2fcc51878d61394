"""For tests of guarded tools: rehearsals, stand-ins, a loop with virtual time, a port that records."""

from toolguard.testing.fake_port import RecordingPort, Spoken
from toolguard.testing.rehearse import Ending, Rehearsal, Unreached, rehearse
from toolguard.testing.stand_ins import StandIns, stand_ins
from toolguard.testing.virtual import Deadlock, VirtualLoop, run_virtual, virtual_time

__all__ = [
    "Deadlock",
    "Ending",
    "RecordingPort",
    "Rehearsal",
    "Spoken",
    "StandIns",
    "Unreached",
    "VirtualLoop",
    "rehearse",
    "run_virtual",
    "stand_ins",
    "virtual_time",
]
