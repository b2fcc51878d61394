"""The trail: what people read of a journal, and how they check that it is the one that was written."""
