"""Every error that toolguard raises: what happened, to which call of which session, and what to do next."""

from __future__ import annotations

from typing import ClassVar


class ToolguardError(Exception):
    """Base of all errors of this package.

    Attributes:
        code: Stable, machine-readable name of the failure (for example ``no_session``).
        ref: The call or session concerned (``conv-42/7`` or ``conv-42``), empty where none is.
        advice: One sentence that says what to do next.
    """

    code: ClassVar[str] = "toolguard_error"

    def __init__(self, what: str, *, ref: str = "", advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.ref = ref
        self.advice = advice

    def __str__(self) -> str:
        head = f"[{self.code}] {self.ref}: {self.what}" if self.ref else f"[{self.code}] {self.what}"
        if self.advice and head[-1] not in ".!?":
            head += "."
        return f"{head} {self.advice}".rstrip()


class Refused(ToolguardError):
    """It is certain that nothing happened: the downstream system, or toolguard, refused the effect.

    A tool body raises it to say so (L1); ``committing()`` raises it when the run may not act any more (L5, W2).
    """

    code = "refused"


class DeclarationError(ToolguardError, TypeError):
    """A decorator was used in a way that cannot be right; the message proposes the mend."""

    code = "declaration"


class ApprovalImpossible(DeclarationError):
    """A tool ``needs`` a yes that cannot come from where it is to come from."""

    code = "approval_impossible"


class NoSession(ToolguardError, RuntimeError):
    """A guarded tool, ``step``, ``checkpoint`` or ``committing`` was used outside a session."""

    code = "no_session"


class SessionClosed(ToolguardError, RuntimeError):
    """The session has ended; no call can be made in it any more."""

    code = "session_closed"


class NotOwned(ToolguardError, RuntimeError):
    """This process only visits the session; what was asked for needs its owner (T2)."""

    code = "not_owned"


class ToolNotDone(ToolguardError):
    """A call made with ``Session.run`` did not end with a result; subclasses say why."""

    code = "not_done"


class InvalidArguments(ToolNotDone, ValueError):
    """The arguments do not fit the tool's signature; nothing ran."""

    code = "invalid_arguments"


class AlreadyDone(ToolNotDone):
    """The same intent is already done, or stands with other details; the caller has to be asked (S rules)."""

    code = "already_done"


class InDoubt(ToolNotDone):
    """The effect may have happened; a probe or a person has to find out (D3)."""

    code = "in_doubt"


class StoppedBeforeEffect(ToolNotDone):
    """The run was stopped before its commit; nothing happened."""

    code = "stopped"


class ToolFailed(ToolNotDone):
    """The tool failed and it is known that nothing happened."""

    code = "failed"


class StepChanged(ToolguardError, RuntimeError):
    """A step was repeated with other arguments after the commit (W7)."""

    code = "step_changed"


class StoreError(ToolguardError):
    """The store could not do what was asked; subclasses say why."""

    code = "store"


class StoreBusy(StoreError):
    """Another process holds the directory's lock for longer than the bound."""

    code = "store_busy"


class StoreDamaged(StoreError):
    """The journal's tail or a record is lost or changed; the store is read-only until a person accepts."""

    code = "store_damaged"


class StoreFull(StoreError):
    """The disk is full; nothing was written."""

    code = "store_full"


class StoreReadOnly(StoreError):
    """The store cannot be written."""

    code = "store_read_only"


class StoreForeign(StoreError):
    """The directory or file is not a toolguard store, or of a newer format."""

    code = "store_foreign"


class StoreUnavailable(StoreError):
    """The store is gone or does not answer."""

    code = "store_unavailable"


class Fenced(StoreError):
    """Another owner has taken the session over: this process may not decide for it any more (T1)."""

    code = "fenced"


class StillOwned(StoreError):
    """A living process owns the session: nobody else recovers or visits it meanwhile.

    Attributes:
        process: The owner's token.
    """

    code = "still_owned"

    def __init__(self, what: str, *, ref: str = "", advice: str = "", process: str = "") -> None:
        super().__init__(what, ref=ref, advice=advice)
        self.process = process


class LeaseLost(StoreError):
    """This process's lease has run out, or has too little left to begin a mutation (T4)."""

    code = "lease_lost"


class ClaimLost(StoreError):
    """Another process holds the occurrence (T3)."""

    code = "claim_lost"


class UnknownRef(ToolguardError, LookupError):
    """No session or call of that name is in the store."""

    code = "unknown_ref"


class AlreadySettled(ToolguardError, RuntimeError):
    """The run is not in doubt (any more); the first evidence stands (L4)."""

    code = "already_settled"


class EvidenceMissing(ToolguardError, ValueError):
    """A person's finding says nothing, does not say where it was seen, or nobody stands for it."""

    code = "evidence_missing"


class PacketRefused(ToolguardError):
    """A handoff packet was not accepted; subclasses say why. The conversation stays as it is, with who has it."""

    code = "packet_refused"


class PacketUnreadable(PacketRefused, ValueError):
    """It is no handoff packet, or damaged."""

    code = "packet_unreadable"


class PacketTooNew(PacketRefused):
    """A newer release has made the packet."""

    code = "packet_too_new"


class PacketTampered(PacketRefused):
    """The packet is not as it was signed."""

    code = "packet_tampered"


class PacketForeign(PacketRefused):
    """Another store has signed the packet, or keeps its conversation."""

    code = "packet_foreign"


class PacketMisdirected(PacketRefused):
    """The packet is for another conversation or another tenant."""

    code = "packet_misdirected"


class PacketExpired(PacketRefused):
    """The packet was not accepted in time."""

    code = "packet_expired"


class PacketOutdated(PacketRefused):
    """The conversation has been handed over again since the packet was made."""

    code = "packet_outdated"


class PacketAccepted(PacketRefused):
    """Somebody has accepted the packet before: it counts once (H2)."""

    code = "packet_accepted"


class HandedOver(ToolguardError, RuntimeError):
    """Another agent has the conversation now; this one's session takes no more calls."""

    code = "handed_over"


class ResultNotSerialisable(ToolguardError, TypeError):
    """A tool returned something that cannot be written as JSON; what it did in the world stands."""

    code = "result_not_serialisable"


class LineLost(ToolguardError, ConnectionError):
    """The provider's connection is gone and no new one could be made; the session keeps what it has."""

    code = "line_lost"


class LineDown(ToolguardError, ConnectionError):
    """A frame could not be sent: the provider's connection is being rebuilt and did not come back in time."""

    code = "line_down"


class FeatureMissing(ToolguardError, ImportError):
    """A framework is not installed, or the installed version lacks something that its adapter needs.

    Attributes:
        feature: What was looked for (``livekit.agents.RunContext.speech_handle``).
        version: The installed version of the framework; empty where it is not installed.
    """

    code = "feature_missing"

    def __init__(self, what: str, *, feature: str, version: str = "", advice: str = "") -> None:
        super().__init__(what, advice=advice)
        self.feature = feature
        self.version = version
