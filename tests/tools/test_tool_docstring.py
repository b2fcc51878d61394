"""Docstrings of three styles explain parameters."""

from __future__ import annotations

from typing import Any

import pytest

from toolguard.tools.docstring import read_docstring

GOOGLE = """Book a slot.

    More words: with a colon.

    Args:
        slot_id (str): The slot,
            on two lines.
        *rest: The rest.

        note: After a blank line.

    Returns:
        day: not a parameter
    """
NUMPY = """Book a slot.

    More words: with a colon.

    Parameters
    ----------
    slot_id : str
        The slot,
        on two lines.
    *rest
        The rest.
    note, other : str, optional
        After a blank line.

    Returns
    -------
    day : str
        Not a parameter.
    """
SPHINX = """Book a slot.

    More words: with a colon.

    :param str slot_id: The slot,
        on two lines.
    :param rest: The rest.
    :type rest: list
    :param note: After a blank line.
    :returns: day: not a parameter
    """


@pytest.mark.parametrize("doc", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_three_styles(doc: Any) -> None:
    about = read_docstring(doc)
    assert about.summary == "Book a slot.\n\nMore words: with a colon."
    assert about.parameters["slot_id"] == "The slot, on two lines."
    assert about.parameters["rest"] == "The rest."
    assert about.parameters["note"] == "After a blank line."
    assert "day" not in about.parameters
    assert about.parameters.get("other", about.parameters["note"]) == about.parameters["note"]


@pytest.mark.parametrize("doc", [None, "", "   "])
def test_nothing_said(doc: Any) -> None:
    assert read_docstring(doc) == ("", {})


def test_odd_docstrings() -> None:
    assert read_docstring("Args:\n    a: only this").parameters == {"a": "only this"}
    assert read_docstring("Look.\n\nArgs:\n    a: one\nNot indented: words").parameters == {"a": "one"}
    assert read_docstring("Look.\n\nArgs:\n    no colon here\n    a: one").parameters == {"a": "one"}
    assert read_docstring("Arguments are hard.\n\nNote that").summary == "Arguments are hard.\n\nNote that"
    assert read_docstring(":param a: one\n\nAfter").parameters == {"a": "one"}
    assert read_docstring("Text\n\n\n\nmore\n\nRaises:\n    Error: if").summary == "Text\n\nmore"
