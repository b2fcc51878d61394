"""Makes the caller's recordings beside this file: espeak-ng speaks, the result is 16 kHz mono PCM.

They are committed, so nothing needs this script but a change of the words. The same version of espeak-ng (1.51 made
them) gives the same bytes. Install it with ``apt-get install espeak-ng`` and run ``python make_speech.py``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import wave
from array import array
from pathlib import Path

RATE = 16_000
WORDS = {
    "booking": "Monday at ten please",
    "correction": "no wait, make it Tuesday",
    "mm_hm": "mm-hmm",
}
VOICE = ["-v", "en-us+f2", "-s", "150"]


def spoken(words: str) -> tuple[array[int], int]:
    """Samples of the words and their rate."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run(["espeak-ng", *VOICE, "-w", file.name, words], check=True)  # noqa: S603, S607 - own words
        with wave.open(file.name) as sound:
            return array("h", sound.readframes(sound.getnframes())), sound.getframerate()


def at_rate(samples: array[int], rate: int) -> array[int]:
    """The samples at ``RATE``, by straight lines between the old ones."""
    made = array("h")
    for n in range(len(samples) * RATE // rate):
        at, part = divmod(n * rate, RATE)
        after = samples[min(at + 1, len(samples) - 1)]
        made.append((samples[at] * (RATE - part) + after * part) // RATE)
    return made


def main() -> None:
    """Write a file for each of the sentences."""
    for name, words in WORDS.items():
        samples = at_rate(*spoken(words))
        if sys.byteorder == "big":
            samples.byteswap()
        with wave.open(str(Path(__file__).with_name(f"{name}.wav")), "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(RATE)
            sound.writeframes(samples.tobytes())
        print(f"{name}.wav: {len(samples) / RATE:.2f} s")


if __name__ == "__main__":
    main()
