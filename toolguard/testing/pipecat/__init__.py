"""A Pipecat line for tests: a real pipeline and real aggregators, with a scripted model, voice and caller, on one clock."""

from toolguard.testing.pipecat.caller import ScriptedCaller
from toolguard.testing.pipecat.line import Line, pipecat_line
from toolguard.testing.pipecat.model import Asked, Called, ScriptedModel
from toolguard.testing.pipecat.voice import ScriptedVoice

__all__ = ["Asked", "Called", "Line", "ScriptedCaller", "ScriptedModel", "ScriptedVoice", "pipecat_line"]
