"""Tool calls that survive a live conversation."""
