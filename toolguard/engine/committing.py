"""The point of no return: past the gate, into the journal, past the gate once more, then the key (W1, W2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from toolguard.core import records as r
from toolguard.core.effect import Effect
from toolguard.errors import ClaimLost, Fenced, LeaseLost, Refused, StoreError

if TYPE_CHECKING:
    from toolguard.engine.execution import Execution
    from toolguard.engine.live import Live


class Commits:
    """Begins the commits of one session's runs."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._ledger = execution.ledger

    async def begin(self, live: Live, number: int) -> str:
        """Pass the gate, write ``commit_began`` durably, look at the gate once more, hand out the key.

        Raises:
            Refused: The run was stopped, or the record could not be written; nothing happened.
        """
        execution, run = self._execution, live.run
        execution.disarm(live, keep=True)
        inherits = live.parent is not None and live.parent.committed and live.spec.needs is None  # a yes is its own
        if not inherits:
            await execution.gate.passing(run, number)
        self._check(live)
        key = run.key or execution.keys(run)
        await self._record(live, number, key, inherits=inherits)
        if execution.fresh is not None:
            await execution.fresh.stale([execution.scope_of(scope) for scope in ("caller", "tenant")])
        live.window = False
        live.committed = True
        execution.arm(live)
        return key

    async def _record(self, live: Live, number: int, key: str, *, inherits: bool) -> None:
        execution, ledger, run, spec = self._execution, self._ledger, live.run, live.spec
        mutates = run.effect is Effect.MUTATION
        live.window = True
        entry = ledger.write(
            r.CommitBegan(run=run.number, attempt=number, key=key, limit=spec.hard_limit + spec.settles_within),
            durable=mutates and spec.durability != "process",
            wait=True,
            after=live.planned,
            lease=execution.lease.margin if mutates and execution.lease is not None else 0.0,
        )
        try:
            await ledger.journal.fate(entry, within=execution.limits.commit)
            if not inherits:
                await execution.gate.passing(run, number)
        except (ClaimLost, Fenced):
            raise
        except LeaseLost as error:
            run.committed_at = 0  # the store has refused the record: it is not in the journal
            self._not_begun(live, number, "lease_short", str(error))
            raise Refused(error.what, ref=ledger.state.run_ref(run), advice="Nothing happened.") from error
        except (StoreError, TimeoutError) as error:
            self._not_begun(live, number, "commit_not_recorded", str(error) or "the store did not answer in time")
            raise Refused(
                "its commit could not be recorded", ref=ledger.state.run_ref(run), advice="Nothing happened."
            ) from error
        except Refused as error:
            self._not_begun(live, number, "stopped_before_effect", error.what)
            raise
        except asyncio.CancelledError:
            self._not_begun(live, number, "stopped_before_effect", live.stop_reason or "cancelled")
            raise

    def _check(self, live: Live) -> None:
        execution, run, ref = self._execution, live.run, self._ledger.state.run_ref(live.run)
        self._ledger.check_owner()
        if run.phase.final or live.given_up:
            raise Refused(f"the run is {run.phase.value}", ref=ref, advice="Nothing happened; end the body.")
        if execution.unrecorded:
            raise Refused(
                "an earlier outcome could not be recorded yet", ref=ref, advice="Try again when the store is back (W4)."
            )
        lease = execution.lease
        if run.effect is Effect.MUTATION and lease is not None and lease.short:
            lease.look()
            self._not_begun(live, max(run.attempt, 1), "lease_short", "the store has not renewed this process's lease")
            raise Refused(
                "too little is left of this process's lease to begin",
                ref=ref,
                advice="Nothing happened; try again when the store answers.",
            )

    def _not_begun(self, live: Live, number: int, code: str, why: str) -> None:
        live.window = False
        self._execution.outcomes.fail(live, number, code, why, refused=True)
