"""The listener: what the caller meant, and which of the running calls the words are about."""

from toolguard.listen.combine import first_of
from toolguard.listen.heard import Heard, Listener, Verdict
from toolguard.listen.rules import by_rules

__all__ = ["Heard", "Listener", "Verdict", "by_rules", "first_of"]
