"""The engine: asyncio around the pure core; bodies in tasks of its own, one writer, one gate, ordered delivery."""
