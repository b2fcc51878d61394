"""What there is to know about each framework's test suite: where it is, what it needs, which of its tests run offline."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Suite:
    """One framework's suite.

    Attributes:
        name: What the command calls it.
        distribution: The package that is under test.
        address: Where its repository is cloned from, where none is given.
        tag: How a version's tag is written.
        paths: What of the repository is taken.
        extras: Extras of the distribution that its offline tests import.
        needs: What its tests import besides.
        plugins: Our pytest plugins, by the way in which they guard a tool: where it is called, where it is declared.
        options: pytest's options for the part of the suite that runs without keys.
        left_out: Files that can hang the whole run, with and without the guard, where the tests are older than the code.
        environment: Environment variables that make the suite the same every time.
    """

    name: str
    distribution: str
    address: str
    tag: str
    paths: tuple[str, ...]
    extras: tuple[str, ...]
    needs: tuple[str, ...]
    plugins: dict[str, str]
    options: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


SUITES = {
    "livekit": Suite(
        name="livekit",
        distribution="livekit-agents",
        address="https://github.com/livekit/agents",
        tag="livekit-agents@{version}",
        paths=("tests", "pyproject.toml"),
        extras=(
            "openai", "anthropic", "google", "silero", "cerebras", "perplexity", "xai", "elevenlabs", "langchain", "mcp",
        ),
        needs=(
            "pytest>=9.0.3,<9.1", "pytest-asyncio>=0.25.3", "pytest-asyncio-concurrent==0.5.2", "pytest-timeout",
            "python-dotenv", "jiwer>=3.1", "scipy", "tiktoken",
        ),
        plugins={"declared": "guarded_livekit_declared", "called": "guarded_livekit"},
        options=("--unit", "--allow-uncategorized"),
        left_out=("tests/test_plugin_openai_stt_context.py", "tests/test_realtime_reply_chat_ctx.py"),
        environment=(("LK_TEST_CONCURRENCY", "0"),),
    ),
    "pipecat": Suite(
        name="pipecat",
        distribution="pipecat-ai",
        address="https://github.com/pipecat-ai/pipecat",
        tag="v{version}",
        paths=("tests", "pyproject.toml"),
        extras=(
            "anthropic", "google", "livekit", "runner", "tracing", "websocket", "mcp", "redis", "cli", "aws", "langchain",
        ),
        needs=("pytest>=9,<10", "pytest-asyncio>=1,<2", "pytest-aiohttp", "pytest-timeout", "python-dotenv"),
        plugins={"called": "guarded_pipecat"},
        options=("-o", "addopts=", "-o", "pythonpath="),
    ),
}  # fmt: skip
