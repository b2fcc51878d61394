"""The command ``toolguard``: read the trail, verify journals, settle what is in doubt, recover sessions."""
