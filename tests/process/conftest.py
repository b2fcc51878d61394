"""Shows at the end of a run what the process tests have seen in the world."""

import process_reading


def pytest_terminal_summary(terminalreporter):
    if process_reading.SEEN:
        terminalreporter.section("effects in the world and phases in the journal")
        for line in process_reading.SEEN:
            terminalreporter.write_line(line)
