"""``python -m toolguard``: the command line, where the script of that name is not on the path."""

from toolguard.cli.main import main

main()
