"""Notices another distribution that owns the import name ``toolguard``; cheap enough to ask at import."""

from __future__ import annotations

import os

THEIRS = "toolguard"
OURS = "toolguard-voice"
_MARKS = ("runtime", "buildtime", "extra")
"""Packages of the other distribution; ours has none of these names."""
FIX = f"Run `pip uninstall -y {THEIRS} {OURS}`, then `pip install {OURS}`; keep the two in environments of their own."


def mixed(package: str) -> str:
    """What another distribution has left in the folder of this package.

    Args:
        package: The folder of the imported package ``toolguard``.

    Returns:
        A sentence that says what is wrong and how to mend it; empty where nothing is.
    """
    strange = [name for name in _MARKS if os.path.isfile(os.path.join(package, name, "__init__.py"))]  # noqa: PTH113, PTH118 -- asked at import: no pathlib
    if not strange:
        return ""
    names = ", ".join(f"{THEIRS}.{name}" for name in strange)
    return f"the import name toolguard is shared with IBM's distribution {THEIRS!r}, which put {names} here. {FIX}"


def installed() -> str:
    """Whether the other distribution is installed, as :func:`mixed` says it; asks the installed metadata."""
    from importlib import metadata  # noqa: PLC0415 -- costs more than the rest of the module

    try:
        version = metadata.version(THEIRS)
    except metadata.PackageNotFoundError:
        return ""
    return f"IBM's distribution {THEIRS!r} {version} is installed beside {OURS!r} and owns the same import name. {FIX}"
