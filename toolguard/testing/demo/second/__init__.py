"""The second act: a hand-off with a look-up in flight, and the worker killed in the middle of a charge."""
