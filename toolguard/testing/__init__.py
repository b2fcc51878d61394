"""For tests of guarded tools: rehearsals, stand-ins, a loop with virtual time, ports that record."""
