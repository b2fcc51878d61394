"""A way through the processors of a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from toolguard.adapters.pipecat_features import FrameProcessor


def processors(processor: FrameProcessor) -> Iterator[FrameProcessor]:
    """A processor and everything in it."""
    yield processor
    for inner in processor.processors:
        yield from processors(inner)
