"""Two minutes of bad luck: many sessions, few workers, and everything that can go wrong, judged from outside."""
