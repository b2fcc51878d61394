"""What all tests share: `pytest.mark.virtual_time` runs a test, or a module, on a loop that does not wait."""

import asyncio

from toolguard.testing.virtual import VirtualLoop


def pytest_configure(config):
    config.addinivalue_line("markers", "virtual_time: run on an event loop whose time is virtual")


def pytest_asyncio_loop_factories(config, item):
    if item.get_closest_marker("virtual_time") is not None:
        return {"virtual": VirtualLoop}
    return {"asyncio": asyncio.new_event_loop}
