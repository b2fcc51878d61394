"""A user's own test in one line, and the stand-ins for bodies that run without a guard."""

import asyncio
import contextlib
import subprocess
import sys

import pytest

import toolguard
from toolguard import Decision, DidNotHappen, Happened, Phase, Refused
from toolguard.errors import NoSession
from toolguard.testing import Unreached, rehearse, stand_ins, virtual_time
from toolguard.tools.inside import Committing


class Emr:
    """The user's fake."""

    def __init__(self):
        self.booked = []

    async def hold(self, slot: str) -> str:
        await asyncio.sleep(0)
        return f"hold-{slot}"

    async def book(self, slot, key):
        self.booked.append((slot, key))
        return f"bk_{len(self.booked)}"


@pytest.fixture
def emr():
    return Emr()


@pytest.fixture
def book(emr):
    @toolguard.mutation(identity=("slot", "patient"), commits="inside")
    async def book(slot: str, patient: str, reason: str = "") -> str:
        await toolguard.step("hold", emr.hold, slot)
        await toolguard.checkpoint(slot=slot)
        async with toolguard.committing() as key:
            return await emr.book(slot, key)

    return book


async def test_the_line_in_the_plan(book, emr):
    ending = await rehearse(book.bind("s1", "p1")).barge_in("no, make it Tuesday", at="at_gate").play()
    assert ending.phase is Phase.CANCELLED
    assert ending.effects == 0
    assert emr.booked == []
    assert '"cancelled"' in ending.output
    assert ending.records[-1] != "commit_began"
    assert "commit_began" not in ending.records
    assert "no, make it Tuesday" in ending.trail


async def test_undisturbed_it_is_done(book, emr):
    ending = await rehearse(book.bind("s1", "p1")).play()
    assert (ending.phase, ending.output, ending.result, ending.effects) == (Phase.DONE, "bk_1", "bk_1", 1)
    assert len(emr.booked) == 1


@pytest.mark.parametrize("words", ["uh-huh", "okay"])
async def test_a_backchannel_at_the_gate_changes_nothing(book, words):
    ending = await rehearse(book.bind("s1", "p1")).barge_in(words, at="at_gate").play()
    assert (ending.phase, ending.effects) == (Phase.DONE, 1)


@pytest.mark.parametrize("at", ["before_start", "at_gate"])
async def test_a_correction_before_the_commit_is_no_effect(book, emr, at):
    ending = await rehearse(book.bind("s1", "p1")).barge_in("cancel that", at=at).play()
    assert (ending.phase, ending.effects, emr.booked) == (Phase.CANCELLED, 0, [])


@pytest.mark.parametrize("at", ["while_committing", "after_commit", "at_end"])
async def test_a_correction_after_the_commit_is_done_all_the_same(book, emr, at):
    ending = await rehearse(book.bind("s1", "p1")).barge_in("cancel that", at=at).play()
    assert (ending.phase, ending.effects, len(emr.booked)) == (Phase.DONE, 1, 1)
    if at != "at_end":
        assert "could no longer be stopped" in ending.output


async def test_the_kind_of_the_words_can_be_given(book):
    ending = await rehearse(book.bind("s1", "p1")).barge_in("blorp", at="at_gate", kind="answer").play()
    assert ending.phase is Phase.DONE


@pytest.mark.parametrize("at", ["before_start", "at_gate"])
async def test_a_crash_before_the_commit_is_resumed_and_acts_once(book, emr, at):
    ending = await rehearse(book.bind("s1", "p1")).crash(at=at).play()
    assert (ending.phase, ending.effects, len(emr.booked)) == (Phase.DONE, 1, 1)
    assert "recovered" in ending.records


@pytest.mark.parametrize(("at", "acted"), [("while_committing", 0), ("after_commit", 1)])
async def test_a_crash_past_the_commit_is_in_doubt_and_never_repeated(book, emr, at, acted):
    ending = await rehearse(book.bind("s1", "p1")).crash(at=at).play()
    assert (ending.phase, ending.effects, len(emr.booked)) == (Phase.IN_DOUBT, 1, acted)


async def test_a_probe_settles_what_a_crash_left_in_doubt(book, emr):
    @book.probe
    async def find(attempt, slot: str, patient: str, reason: str = ""):
        made = [key for _, key in emr.booked if key == attempt.key]
        return Happened("bk_1") if made else DidNotHappen()

    ending = await rehearse(book.bind("s1", "p1")).crash(at="after_commit").play()
    assert (ending.phase, ending.result, len(emr.booked)) == (Phase.DONE, "bk_1", 1)


async def test_a_crash_and_then_a_correction_at_the_gate_of_the_next_process(book, emr):
    ending = (
        await rehearse(book.bind("s1", "p1")).crash(at="at_gate").barge_in("cancel that", at="while_committing").play()
    )
    assert (ending.phase, len(emr.booked)) == (Phase.DONE, 1)
    ending = await rehearse(book.bind("s1", "p1")).crash(at="before_start").barge_in("no", at="at_gate").play()
    assert (ending.phase, len(emr.booked)) == (Phase.CANCELLED, 1)


@pytest.mark.parametrize("at", ["at_gate", "while_committing", "after_commit", "at_end"])
async def test_the_model_repeats_the_call_and_it_acts_once(book, emr, at):
    ending = await rehearse(book.bind("s1", "p1")).reissue(at=at).play()
    assert (ending.phase, ending.effects, len(emr.booked)) == (Phase.DONE, 1, 1)
    assert len(ending.outputs) == 2
    assert all("bk_1" in text for text in ending.outputs)


async def test_the_model_repeats_it_with_other_details(book, emr):
    ending = await rehearse(book.bind("s1", "p1")).reissue(at="at_end", reason="another").play()
    assert len(emr.booked) == 1
    assert '"differs"' in ending.outputs[1]


@pytest.mark.parametrize("at", ["before_start", "at_gate", "while_committing", "after_commit"])
async def test_a_hand_off_carries_the_call(book, emr, at):
    ending = await rehearse(book.bind("s1", "p1")).hand_off(to="billing", at=at).play()
    assert (ending.phase, len(emr.booked)) == (Phase.DONE, 1)
    assert "hand_off_record" in ending.records


async def test_with_a_policy_of_ones_own(book, emr):
    def never_mind(call, interrupt):
        return Decision.go_on("never mind")

    ending = (
        await rehearse(book.bind("s1", "p1")).with_policy(never_mind).barge_in("cancel that", at="before_start").play()
    )
    assert (ending.phase, len(emr.booked)) == (Phase.DONE, 1)


async def test_a_write_that_commits_at_its_start(emr):
    @toolguard.mutation(identity="slot")
    async def book(slot: str) -> str:
        return await emr.book(slot, "")

    ending = await rehearse(book.bind("s1")).barge_in("cancel that", at="at_gate").play()
    assert (ending.phase, emr.booked) == (Phase.CANCELLED, [])
    ending = await rehearse(book.bind("s1")).crash(at="while_committing").play()
    assert (ending.phase, emr.booked) == (Phase.IN_DOUBT, [])


async def test_a_sync_body_is_rehearsed_too(emr):
    @toolguard.mutation(identity="slot", commits="inside")
    def book(slot: str) -> str:
        with toolguard.committing() as key:
            emr.booked.append((slot, key))
        return "bk_1"

    ending = await rehearse(book.bind("s1")).barge_in("cancel that", at="at_gate").play()
    assert (ending.phase, emr.booked) == (Phase.CANCELLED, [])
    ending = await rehearse(book.bind("s1")).reissue(at="while_committing").play()
    assert (ending.phase, len(emr.booked)) == (Phase.DONE, 1)


async def test_methods_keep_their_object():
    class Desk:
        def __init__(self):
            self.seen = []

        @toolguard.mutation(identity="slot")
        async def book(self, slot: str) -> str:
            self.seen.append(slot)
            return "bk_1"

    desk = Desk()
    ending = await rehearse(desk.book.bind("s1")).play()
    assert (ending.phase, desk.seen) == (Phase.DONE, ["s1"])


async def test_a_body_that_fails_is_shown_as_the_model_sees_it():
    @toolguard.mutation(identity="slot")
    async def book(slot: str) -> str:
        raise Refused("the slot is taken")

    ending = await rehearse(book.bind("s1")).play()
    assert ending.phase is Phase.FAILED
    assert "the slot is taken" in ending.output


@pytest.mark.parametrize("at", ["at_gate", "while_committing"])
async def test_a_position_that_a_read_does_not_have_is_an_error(at):
    @toolguard.read
    async def look(city: str) -> str:
        return "sunny"

    with pytest.raises(Unreached, match="is a read"):
        await rehearse(look.bind("Pune")).barge_in("no", at=at).play()


async def test_a_position_that_the_call_never_comes_to_is_an_error(book):
    with pytest.raises(Unreached, match="did not come to while_committing"):
        await rehearse(book.bind("s1", "p1")).barge_in("no", at="at_gate").crash(at="while_committing").play()
    with pytest.raises(ValueError, match="before_start"):
        rehearse(book.bind("s1", "p1")).crash(at="somewhere")


@virtual_time
async def test_on_a_virtual_loop_what_the_body_waits_for_passes_at_once():
    @toolguard.mutation(identity="slot", patience=4, filler="One moment.")
    async def book(slot: str) -> str:
        await asyncio.sleep(20)
        return "bk_1"

    ending = await rehearse(book.bind("s1")).play()
    assert ending.phase is Phase.DONE
    assert '"still_running"' in ending.outputs[0]
    assert "bk_1" in ending.output
    assert ending.notes == (ending.output,)
    assert ending.spoken == ("One moment.",)


@virtual_time
async def test_on_a_virtual_loop_a_thread_gets_its_real_time():
    import time

    @toolguard.mutation(identity="slot")
    def book(slot: str) -> str:
        time.sleep(0.05)
        return "bk_1"

    assert (await rehearse(book.bind("s1")).play()).output == "bk_1"


# -- stand-ins ----------------------------------------------------------------------------------------------------------


async def test_a_body_runs_as_a_plain_function_with_stand_ins(book, emr):
    with stand_ins(key="k" * 32) as bench:
        assert await book.unguarded("s1", "p1") == "bk_1"
    assert bench.steps == ["hold"]
    assert bench.progress == {"slot": "s1"}
    assert (bench.committed, bench.left) == (True, True)
    assert emr.booked == [("s1", "k" * 32)]
    with pytest.raises(NoSession):
        await book.unguarded("s1", "p1")


async def test_stand_ins_serve_a_sync_body_and_show_the_call():
    seen = []

    @toolguard.mutation(identity="slot", commits="inside")
    def book(slot: str) -> str:
        toolguard.checkpoint(slot=slot)
        seen.append(toolguard.current_call().phase)
        with toolguard.committing():
            seen.append(toolguard.current_call().phase)
        return "bk_1"

    with stand_ins() as bench:
        assert await book.unguarded("s1") == "bk_1"
    assert seen == [Phase.STARTED, Phase.COMMITTING]
    assert bench.progress == {"slot": "s1"}


async def test_stand_ins_refuse_a_second_commit_and_note_how_it_was_left():
    with stand_ins() as bench, contextlib.suppress(ValueError):
        async with toolguard.committing():
            raise ValueError
    assert (bench.committed, bench.left) == (True, False)
    with stand_ins():
        async with toolguard.committing():
            pass
        with pytest.raises(Refused):
            await Committing.__aenter__(toolguard.committing())


async def test_a_child_under_stand_ins_is_its_plain_function(emr):
    @toolguard.mutation(identity="slot")
    async def inner(slot: str) -> str:
        return await emr.book(slot, "")

    @toolguard.mutation(identity="slot")
    async def outer(slot: str) -> str:
        return await inner(slot)

    with stand_ins():
        assert await outer.unguarded("s1") == "bk_1"


def test_importing_it_imports_no_framework():
    code = "import sys, toolguard.testing; print([m for m in ('openai', 'websockets', 'livekit') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(("said", "phase"), [("yes", Phase.DONE), ("no", Phase.CANCELLED)])
async def test_the_caller_answers_what_they_are_asked(said, phase):
    @toolguard.mutation(identity="who", needs=toolguard.Approval("Charge {who}?"))
    async def charge(who: str) -> str:
        return f"charged {who}"

    ending = await rehearse(charge.bind("ana")).barge_in(said, at="at_gate").play()
    assert ending.phase is phase
    assert ending.effects == (phase is Phase.DONE)
    assert '"ask":"Charge ana?"' in ending.outputs[0]
