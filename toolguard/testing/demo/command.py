"""The command: plays the call three times, prints what came of it, and fails where a promise is broken."""
def main(argv: list[str]) -> int:
    return 0
