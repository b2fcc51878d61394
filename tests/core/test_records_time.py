"""Records are written while a test holds the clock, whose times are of a class of its own."""

from datetime import datetime

import msgspec
import pytest
from freezegun import freeze_time

from toolguard.core import records as r
from toolguard.core.interrupt import BargeIn


def test_a_record_holds_the_time_of_a_held_clock():
    with freeze_time("2026-03-10 09:00:00"):
        at = datetime.now().astimezone()
        draft = r.encode(r.Interrupted(id="i1", interrupt=BargeIn(stage="onset", at=at)), 1)
    assert r.decode(draft.kind, draft.version, draft.payload).interrupt.at == at


def test_a_record_holds_nothing_else_that_json_does_not_know():
    with pytest.raises((NotImplementedError, TypeError, msgspec.MsgspecError)):
        r.encode(r.Noticed(code="x", data={"x": object()}), 1)
