"""Sealed payloads open for their caller, session and key alone, and never again once the caller is erased."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolguard.stores.memory import MemoryStore
from toolguard.stores.seal import Keys, SealBroken, Sealer, SealErased, SealKeyMissing

MASTER = bytes(range(32))


@pytest.fixture
def store() -> Iterator[Any]:
    store = MemoryStore()
    store.open("p1")
    yield store
    store.close()


@pytest.fixture
def sealer(store: Any) -> Any:
    return Sealer(Keys({"2026": MASTER}), store)


@given(st.binary(max_size=500), st.binary(max_size=50))
def test_what_is_sealed_opens_again(payload: Any, session: Any) -> None:
    store = MemoryStore()
    store.open("p1")
    seal = Sealer(Keys({"k": MASTER}), store).of("clinic", "+15550100")
    sealed = seal.seal(payload, aad=session)
    assert len(payload) < 5 or payload not in sealed
    assert seal.open(sealed, aad=session) == payload


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_noticed(at: int, flip: int) -> None:
    store = MemoryStore()
    store.open("p1")
    seal = Sealer(Keys({"k": MASTER}), store).of("clinic", "ana")
    sealed = bytearray(seal.seal(b"payload", aad=b"conv-1"))
    sealed[at % len(sealed)] ^= flip
    with pytest.raises((SealBroken, SealErased, SealKeyMissing)):
        seal.open(bytes(sealed), aad=b"conv-1")


@given(st.data())
def test_a_cut_payload_is_broken(data: st.DataObject) -> None:
    store = MemoryStore()
    store.open("p1")
    seal = Sealer(Keys({"k": MASTER}), store).of("clinic", "ana")
    sealed = seal.seal(b"payload", aad=b"conv-1")
    with pytest.raises((SealBroken, SealErased, SealKeyMissing)):
        seal.open(sealed[: data.draw(st.integers(0, len(sealed) - 1))], aad=b"conv-1")


def test_two_seals_of_one_payload_differ(sealer: Any) -> None:
    seal = sealer.of("clinic", "ana")
    assert seal.seal(b"x", aad=b"s") != seal.seal(b"x", aad=b"s")


def test_another_session_cannot_pass_a_payload_off_as_its_own(sealer: Any) -> None:
    seal = sealer.of("clinic", "ana")
    with pytest.raises(SealBroken) as caught:
        seal.open(seal.seal(b"x", aad=b"conv-1"), aad=b"conv-2")
    assert caught.value.code == "seal_broken"
    assert caught.value.advice


@pytest.mark.parametrize("other", [("clinic", "bob"), ("garage", "ana"), ("clini", "cana")])
def test_another_caller_or_tenant_cannot_open_it(sealer: Any, other: Any) -> None:
    sealed = sealer.of("clinic", "ana").seal(b"x", aad=b"s")
    with pytest.raises((SealErased, SealBroken)):
        sealer.of(*other).open(sealed, aad=b"s")


def test_the_tenant_and_caller_are_in_the_key_even_where_salts_are_shared(store: Any) -> None:
    sealer = Sealer(Keys({"k": MASTER}), store)
    ana, bob = sealer.of("clinic", "ana"), sealer.of("clinic", "bob")
    bob._salts = ana._salts
    with pytest.raises(SealBroken):
        bob.open(ana.seal(b"x", aad=b"s"), aad=b"s")


def test_an_erased_callers_payloads_never_open_again(sealer: Any) -> None:
    sealed = sealer.of("clinic", "ana").seal(b"x", aad=b"s")
    kept = sealer.of("clinic", "bob").seal(b"y", aad=b"s")
    assert sealer.erase("clinic", "ana") is True
    assert sealer.erase("clinic", "ana") is False
    with pytest.raises(SealErased):
        sealer.existing("clinic", "ana")
    with pytest.raises(SealErased) as caught:
        sealer.of("clinic", "ana").open(sealed, aad=b"s")
    assert caught.value.code == "seal_erased"
    assert sealer.of("clinic", "bob").open(kept, aad=b"s") == b"y"


def test_a_caller_who_comes_back_after_an_erasure_gets_a_new_seal(sealer: Any) -> None:
    sealer.of("clinic", "ana")
    sealer.erase("clinic", "ana")
    sealed = sealer.of("clinic", "ana").seal(b"new", aad=b"s")
    assert sealer.existing("clinic", "ana").open(sealed, aad=b"s") == b"new"


def test_two_processes_that_make_a_seal_at_once_both_stay_readable(store: Any) -> Any:
    class Racing:
        """Shows no salt to the one who looks first, as when both look before either has written."""

        blind = 2

        def note(self, key: str, value: bytes | None) -> None:
            store.note(key, value)

        def notes(self, prefix: str = "") -> dict[str, bytes]:
            self.blind -= 1
            return {} if self.blind >= 0 else store.notes(prefix)

    keys = Keys({"k": MASTER})
    first = Sealer(keys, store).of("clinic", "ana").seal(b"1", aad=b"s")
    second = Sealer(keys, Racing()).of("clinic", "ana").seal(b"2", aad=b"s")
    seal = Sealer(keys, store).existing("clinic", "ana")
    assert (seal.open(first, aad=b"s"), seal.open(second, aad=b"s")) == (b"1", b"2")
    assert Sealer(keys, store).erase("clinic", "ana")
    assert store.notes("seal/") == {}


def test_an_older_master_key_still_opens_what_it_sealed(store: Any) -> None:
    sealed = Sealer(Keys({"2025": MASTER}), store).of("clinic", "ana").seal(b"x", aad=b"s")
    rotated = Sealer(Keys({"2025": MASTER, "2026": bytes(32)}), store).of("clinic", "ana")
    assert rotated.open(sealed, aad=b"s") == b"x"
    assert b"2026" in rotated.seal(b"y", aad=b"s")[:8]


def test_a_missing_master_key_is_named(store: Any) -> None:
    keys = Keys({"2025": MASTER, "2026": bytes(32)})
    sealed = Sealer(keys, store).of("clinic", "ana").seal(b"x", aad=b"s")
    with pytest.raises(SealKeyMissing, match="2026"):
        Sealer(Keys({"2025": MASTER}), store).of("clinic", "ana").open(sealed, aad=b"s")


def test_notes_tell_neither_tenant_nor_caller(sealer: Any, store: Any) -> None:
    sealer.of("clinic", "+15550100")
    [key] = store.notes()
    assert "clinic" not in key
    assert "5550100" not in key
    assert MASTER not in b"".join(store.notes().values())


@pytest.mark.parametrize(
    ("keys", "current"), [({}, None), ({"k": b"short"}, None), ({"": MASTER}, None), ({"k": MASTER}, "other")]
)
def test_a_keyring_that_cannot_work_is_refused(keys: Any, current: Any) -> None:
    with pytest.raises(ValueError, match="key"):
        Keys(keys, current)
