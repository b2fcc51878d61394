"""What the tests of stores have at hand: the public suite and its short ways to make what a store is given."""

from toolguard.testing.stores.making import append, draft, payloads
from toolguard.testing.stores.suite import StoreSuite as StoreContract

__all__ = ["StoreContract", "append", "draft", "payloads"]
