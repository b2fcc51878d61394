"""Keys that the caller presses (DTMF): each is a turn of the caller with a meaning from a small table."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

from toolguard.core.interrupt import Kind
from toolguard.errors import DeclarationError
from toolguard.listen.heard import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolguard.engine.wiring import Wiring

KeyMeaning = Kind | Literal["answer_yes", "answer_no"]
"""What a key says: an answer to what the caller was asked, or one of the kinds that words have."""
_KEYS = frozenset("0123456789*#ABCD")
_MEANINGS = frozenset({*get_args(Kind), "answer_yes", "answer_no"})
_DEFAULT: Mapping[str, KeyMeaning] = MappingProxyType({"1": "answer_yes", "2": "answer_no"})


@dataclass(frozen=True, slots=True)
class Keys:
    """What the keys mean, and whether they are recorded.

    Attributes:
        meanings: Meanings by key, in place of the default, in which 1 is yes and 2 is no. A key without a meaning is
            ``other_topic``: it answers nothing and stops nothing.
        recorded: Whether the trail says which key it was; else it says ``[key]``, as digits may be a PIN.
    """

    meanings: Mapping[str, KeyMeaning] = field(default_factory=lambda: _DEFAULT)
    recorded: bool = False

    def __post_init__(self) -> None:
        """Refuse keys that no telephone has, and meanings that nothing has."""
        for key, meaning in self.meanings.items():
            if key not in _KEYS or meaning not in _MEANINGS:
                raise DeclarationError(
                    f"Keys({{{key!r}: {meaning!r}}}) is not a key with a meaning",
                    advice=f"Keys are 0-9, *, # and A-D; meanings are {', '.join(sorted(_MEANINGS))}.",
                )


def press(wiring: Wiring, key: str) -> None:
    """Settle one key at once; what is no key is noted and changes nothing."""
    if key not in _KEYS:
        wiring.execution.notice("key_unknown", "what was reported is no key of a telephone")
        return
    shown = f"[key {key}]" if wiring.keys.recorded else "[key]"
    wiring.barge_ins.key(shown, _verdict(wiring, wiring.keys.meanings.get(key, "other_topic")))


def _verdict(wiring: Wiring, meaning: KeyMeaning) -> Verdict:
    """A no takes back what the caller was asked about; where nothing was asked it must not confirm anything (S0)."""
    asked = wiring.intake.approvals.asked()
    if meaning == "answer_yes":
        return Verdict("answer", rule="pressed a key", agrees=True)
    if meaning == "answer_no":
        return Verdict("cancellation" if asked else "other_topic", asked, rule="pressed a key", agrees=False)
    return Verdict(meaning, rule="pressed a key")
