"""The face: what ``import toolguard`` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import toolguard


def test_the_face_is_the_list_of_names_that_people_use() -> None:
    """``__all__`` is sorted, complete, of the promised size, and holds nothing private."""
    assert toolguard.__all__ == sorted(toolguard.__all__, key=lambda name: (name[0].islower(), name))
    assert all(hasattr(toolguard, name) for name in toolguard.__all__)
    assert 28 <= len(toolguard.__all__) <= 40
    public = {name for name in vars(toolguard) if not name.startswith("_")}
    modules = {name for name in public if type(getattr(toolguard, name)).__name__ == "module"}
    assert public - modules - set(toolguard.__all__) <= {"annotations"}


def test_the_import_brings_no_framework_and_no_heavy_library() -> None:
    """``import toolguard`` loads no framework, no client, no command line, no cache."""
    script = "import sys, toolguard; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"openai", "livekit", "typer", "rich", "diskcache", "websockets", "pytest"} & set(loaded)


def test_toolguard_is_silent_until_logging_is_enabled() -> None:
    """Our loguru messages appear only after ``logger.enable("toolguard")``."""
    script = (
        "import sys; from loguru import logger; logger.remove(); logger.add(sys.stdout, format='{message}');"
        "import toolguard, asyncio\n"
        "async def main(on):\n"
        "    logger.enable('toolguard') if on else None\n"
        "    g = toolguard.Guard('memory'); g.log()\n"
        "    async with g:\n"
        "        async with g.session('conv-1'): pass\n"
        "asyncio.run(main(False)); print('--'); asyncio.run(main(True))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    before, after = out.split("--")
    assert before.strip() == ""
    assert "conv-1 opened" in after
