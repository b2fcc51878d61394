"""What the caller heard, by the clock: one answer behind the other, cut where it was cut."""

from __future__ import annotations

import asyncio

import pytest

from toolguard.adapters.playback import Playback, split_heard
from toolguard.testing.virtual import virtual_time


def spoken(finished=None, played_ms=None):
    heard: list[tuple[str, str, str]] = []
    return Playback(finished or (lambda *what: heard.append(what)), played_ms), heard


@virtual_time
async def test_an_answer_is_heard_when_its_audio_has_been_played():
    playback, heard = spoken()
    playback.words("g1", "i1", "two words")
    assert playback.generation == ""
    assert playback.audio("g1", "i1", 1000)
    assert not playback.audio("g1", "i1", 1000)
    playback.complete("i1")
    await asyncio.sleep(1.9)
    assert (heard, playback.generation) == ([], "g1")
    await asyncio.sleep(0.2)
    assert (heard, playback.generation) == ([("g1", "i1", "two words")], "")


@virtual_time
async def test_audio_that_comes_ahead_waits_behind_what_is_playing():
    playback, heard = spoken()
    for number in (1, 2):
        playback.words(f"g{number}", f"i{number}", "a b c d")
        playback.audio(f"g{number}", f"i{number}", 1000)
        playback.complete(f"i{number}")
    await asyncio.sleep(1.5)
    assert [item for _, item, _ in heard] == ["i1"]
    [cut] = playback.cut()
    assert (cut.generation, cut.item, cut.heard_ms, cut.whole) == ("g2", "i2", pytest.approx(500, abs=1), False)
    assert (cut.heard, cut.unheard) == ("a b", "c d")


@virtual_time
async def test_a_cut_clamps_to_the_audio_that_arrived_and_knows_that_more_was_to_come():
    playback, _ = spoken(played_ms=lambda _item: 9999.0)
    playback.words("g1", "i1", "so far")
    playback.audio("g1", "i1", 600)
    [cut] = playback.cut()
    assert (cut.heard, cut.unheard, cut.heard_ms, cut.whole) == ("so far", "", 600, False)


@virtual_time
async def test_what_arrives_of_an_answer_after_its_cut_is_not_heard():
    playback, heard = spoken()
    playback.words("g1", "i1", "so far")
    playback.audio("g1", "i1", 600)
    playback.cut()
    playback.words("g1", "i1", " and on")
    assert not playback.audio("g1", "i1", 600)
    playback.complete("i1")
    await asyncio.sleep(2)
    assert (heard, playback.cut(), playback.generation) == ([], [], "")


@virtual_time
async def test_a_pause_in_the_audio_makes_it_last_longer():
    playback, heard = spoken()
    playback.audio("g1", "i1", 500)
    await asyncio.sleep(2)
    playback.audio("g1", "i1", 500)
    playback.complete("i1")
    await asyncio.sleep(0.4)
    assert heard == []
    await asyncio.sleep(0.2)
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("share", "parts"), [(0.0, ("", "one two")), (0.1, ("", "one two")), (0.6, ("one", "two")), (1.0, ("one two", ""))]
)
def test_a_transcript_is_divided_at_a_word(share, parts):
    assert split_heard("one two", share) == parts
