"""One translation for each framework, on the engine's small port."""
