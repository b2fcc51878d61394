"""What there is to speak about, and what of it has its reply (O5)."""

from __future__ import annotations


class Wants:
    """Counts what the model is to speak about; one reply covers all that is wanted when it begins.

    Attributes:
        version: How much was ever wanted.
    """

    def __init__(self) -> None:
        self.version = 0
        self._covered = 0
        self._batches: list[int] = []
        self._silent: set[int] = set()

    def __bool__(self) -> bool:
        """Whether something wants a reply that has none."""
        return self.version > self._covered

    def want(self, batch: int = 0) -> None:
        """One more thing to speak about: an output of this batch, or, without one, news or the caller's turn."""
        self.version += 1
        self._batches.append(batch)

    def cover(self) -> None:
        """What is wanted by now has its reply."""
        self._covered = self.version
        self._batches.clear()

    def again(self) -> None:
        """The reply did not come: at least one thing is wanted still."""
        self._covered = min(self._covered, self.version - 1)
        self._batches.append(0)

    def silence(self, batch: int) -> None:
        """Nobody wants to hear about this batch by itself."""
        self._silent.add(batch)
        self._batches = [one for one in self._batches if one != batch]
        if not self._batches:
            self._covered = self.version

    def silent(self, batch: int) -> bool:
        """Whether nobody wants to hear about this batch by itself."""
        return batch in self._silent

    def listen(self) -> None:
        """The model sees everything from the beginning: no batch is silent any more."""
        self._silent.clear()

    def forget(self) -> None:
        """Another model has the conversation: nothing was silenced there, and nothing is wanted."""
        self.listen()
        self.cover()
