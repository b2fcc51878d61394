"""The pure core: facts, their fold, and the rules; no I/O, no clock, no logging."""
