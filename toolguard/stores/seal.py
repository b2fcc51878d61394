"""Seals payloads with a key of each caller's own, so that erasing a caller is dropping a salt.

The key is derived (HKDF-SHA-256) from a master key, which never enters the store, and a random salt, which stands in
the store's notes. Without the salt nobody can open the payloads any more; the chain over the stored bytes still holds.
Copies of the store made before an erasure still hold the salt: erase there too.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from toolguard.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORM = 1
_NONCE = 12
_SALT = 32
_SALT_NAME = 8
_KEY_LEAST = 16
_KEY_NAME_MOST = 64


class SealError(StoreError):
    """A payload could not be sealed or opened; subclasses say why."""

    code = "seal"


class SealErased(SealError):  # noqa: N818 -- named for what happened
    """The caller was erased: the payload can never be opened again, and that is as it should be."""

    code = "seal_erased"


class SealBroken(SealError):  # noqa: N818
    """The payload was changed, or belongs to another caller or session."""

    code = "seal_broken"


class SealKeyMissing(SealError):  # noqa: N818
    """The keyring does not have the master key that the payload was sealed with."""

    code = "seal_key_missing"


class Keyring(Protocol):
    """Where master keys come from; they are kept outside the store."""

    def current(self) -> str:
        """Name of the master key that new payloads are sealed with, at most 64 bytes."""
        ...

    def key(self, name: str) -> bytes | None:
        """A master key of at least 16 bytes, or None where there is none of that name."""
        ...

    def names(self) -> bytes:
        """A secret that never changes: callers' notes are named with it, so that a note tells no telephone number."""
        ...


class Keys:
    """A keyring that its application fills.

    Args:
        keys: Master keys by name, at least 16 random bytes each. The first one never leaves: notes are named with it.
        current: Name of the one for new payloads; by default the last one.

    Raises:
        ValueError: There is no key, one is too short, or its name is too long.
    """

    def __init__(self, keys: Mapping[str, bytes], current: str | None = None) -> None:
        self._keys = dict(keys)
        if not self._keys:
            raise ValueError("a keyring needs at least one master key")
        for name, key in self._keys.items():
            if len(key) < _KEY_LEAST or not 0 < len(name.encode()) <= _KEY_NAME_MOST:
                raise ValueError(f"master key {name!r} is shorter than {_KEY_LEAST} bytes or its name is too long")
        self._current = next(reversed(self._keys)) if current is None else current
        if self._current not in self._keys:
            raise ValueError(f"there is no master key called {self._current!r}")

    def current(self) -> str:
        """Name of the master key for new payloads."""
        return self._current

    def key(self, name: str) -> bytes | None:
        """A master key."""
        return self._keys.get(name)

    def names(self) -> bytes:
        """The secret that notes are named with, made from the first key."""
        return _derived(next(iter(self._keys.values())), b"", b"names")


class Salts(Protocol):
    """What sealing needs of a store; every :class:`toolguard.stores.base.Store` has it."""

    def note(self, key: str, value: bytes | None) -> None:
        """Set or remove a note."""
        ...

    def notes(self, prefix: str = "") -> dict[str, bytes]:
        """Notes whose key starts with ``prefix``."""
        ...


class Seal:
    """One caller's seal. It touches no store and may be used on the event loop.

    It knows the salts that stood in the store when it was made; what another process sealed since needs a new one.
    """

    def __init__(self, keyring: Keyring, who: bytes, salts: Mapping[bytes, bytes], salt: bytes) -> None:
        self._keyring = keyring
        self._who = who
        self._salts = dict(salts)
        self._salt = salt
        self._ciphers: dict[tuple[str, bytes], AESGCM] = {}

    def seal(self, payload: bytes, *, aad: bytes) -> bytes:
        """Encrypt a payload, bound to ``aad`` (the session's id).

        Raises:
            SealKeyMissing: The keyring does not have its own current key.
        """
        name = self._keyring.current()
        key_name = name.encode()
        head = bytes((_FORM, len(key_name))) + key_name + self._salt
        nonce = os.urandom(_NONCE)
        return head + nonce + self._cipher(name, self._salt).encrypt(nonce, payload, head + aad)

    def open(self, sealed: bytes, *, aad: bytes) -> bytes:
        """Decrypt a payload; ``aad`` is what it was sealed with.

        Raises:
            SealErased: The salt was dropped.
            SealBroken: The bytes were changed, or belong to another caller or session.
            SealKeyMissing: The master key is not in the keyring.
        """
        if len(sealed) < 2 or sealed[0] != _FORM:  # noqa: PLR2004 -- form and length of the key's name
            raise SealBroken("the payload is not a sealed one of a known form", advice="Verify the session's chain.")
        end = 2 + sealed[1] + _SALT_NAME
        head, nonce, body = sealed[:end], sealed[end : end + _NONCE], sealed[end + _NONCE :]
        try:
            cipher = self._cipher(head[2:-_SALT_NAME].decode(), head[-_SALT_NAME:])
            return cipher.decrypt(nonce, body, head + aad)
        except (InvalidTag, ValueError) as error:
            raise SealBroken(
                "the payload was changed, or belongs to another caller or session",
                advice="Verify the session's chain.",
            ) from error

    def _cipher(self, name: str, salt_name: bytes) -> AESGCM:
        cipher = self._ciphers.get((name, salt_name))
        if cipher is None:
            salt = self._salts.get(salt_name)
            if salt is None:
                raise SealErased(
                    "the caller was erased; what was sealed for them cannot be opened any more",
                    advice="Go on without it.",
                )
            master = self._keyring.key(name)
            if master is None:
                raise SealKeyMissing(
                    f"the keyring has no master key called {name!r}", advice="Add the key that the payload names."
                )
            cipher = self._ciphers[name, salt_name] = AESGCM(_derived(master, salt, b"payload" + self._who))
        return cipher


class Sealer:
    """Gives callers their seals and takes them away; reads and writes the store's notes.

    Args:
        keyring: Where master keys come from.
        salts: The store.
    """

    def __init__(self, keyring: Keyring, salts: Salts) -> None:
        self._keyring = keyring
        self._salts = salts

    def of(self, tenant: str, caller: str) -> Seal:
        """A caller's seal, for writing and reading; made where there is none yet.

        Raises:
            StoreError: The store's notes cannot be read or written.
        """
        found = self._found(tenant, caller)
        if not found:
            salt = os.urandom(_SALT)
            name = hashlib.sha256(salt).digest()[:_SALT_NAME]
            # Two processes may do this at once: both salts stay, and payloads say which one is theirs.
            self._salts.note(self._prefix(tenant, caller) + name.hex(), salt)
            found = {**self._found(tenant, caller), name: salt}
        return Seal(self._keyring, _who(tenant, caller), found, min(found))

    def existing(self, tenant: str, caller: str) -> Seal:
        """A caller's seal, for reading alone: nothing is made.

        Raises:
            SealErased: The caller was erased, or never had a seal.
        """
        found = self._found(tenant, caller)
        if not found:
            raise SealErased("the caller was erased, or never had a seal", advice="Go on without the payloads.")
        return Seal(self._keyring, _who(tenant, caller), found, min(found))

    def erase(self, tenant: str, caller: str) -> bool:
        """Make everything that was sealed for a caller unreadable for good; says whether there was anything.

        Sessions that run at this moment keep their seal until they end, and what they write stays unreadable after.
        """
        keys = list(self._salts.notes(self._prefix(tenant, caller)))
        for key in keys:
            self._salts.note(key, None)
        return bool(keys)

    def _prefix(self, tenant: str, caller: str) -> str:
        return f"seal/{hmac.digest(self._keyring.names(), _who(tenant, caller), 'sha256').hex()}/"

    def _found(self, tenant: str, caller: str) -> dict[bytes, bytes]:
        notes = self._salts.notes(self._prefix(tenant, caller))
        return {hashlib.sha256(salt).digest()[:_SALT_NAME]: salt for salt in notes.values()}


def _who(tenant: str, caller: str) -> bytes:
    owner = tenant.encode("utf-8", "surrogatepass")
    return len(owner).to_bytes(4, "big") + owner + caller.encode("utf-8", "surrogatepass")


def _derived(master: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"toolguard seal 1 " + purpose).derive(master)
