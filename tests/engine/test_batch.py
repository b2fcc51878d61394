"""Appends that stand or fall together are one transaction, under the strictest of their conditions."""

from toolguard.core.frame import Draft
from toolguard.engine.batch import Entry, grouped
from toolguard.stores.base import Append

DRAFT = Draft(1, 1, 0, 0, b"{}")


def test_t4_a_commit_that_lands_with_its_call_needs_the_lease_that_the_commit_needs():
    called = Entry(Append("conv", 1, (DRAFT,)), (), None, awaited=False)
    commit = Entry(Append("conv", 1, (DRAFT,), durable=True, lease=2.0), (), called, awaited=True)
    ((append, members),) = grouped([called, commit])
    assert members == [called, commit]
    assert (append.lease, append.durable, len(append.drafts)) == (2.0, True, 2)
