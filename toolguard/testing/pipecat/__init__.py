"""A Pipecat line for tests: a real pipeline and aggregators; model, voice and caller are scripted, on one clock."""

from toolguard.testing.pipecat.caller import ScriptedCaller
from toolguard.testing.pipecat.line import Line, pipecat_line
from toolguard.testing.pipecat.microphone import Microphone
from toolguard.testing.pipecat.model import Asked, Called, ScriptedModel
from toolguard.testing.pipecat.voice import ScriptedVoice

__all__ = ["Asked", "Called", "Line", "Microphone", "ScriptedCaller", "ScriptedModel", "ScriptedVoice", "pipecat_line"]
