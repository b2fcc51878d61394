"""``toolguard verify`` finds what was done to a journal, ends with 1 then, and keeps anchors."""

import json

import pytest
from cli_house import bad, good, objects, run

from audit_house import made, sql, written  # isort: skip
from toolguard.core import records as r
from toolguard.stores.disk import DiskStore

REMOVE = "DELETE FROM journal WHERE session = 1 AND seq = 5"
CHANGE = "UPDATE journal SET frame = CAST(replace(frame, 'ana', 'eve') AS BLOB) WHERE session = 1 AND seq = 4"
CUT = (
    "DELETE FROM journal WHERE session = 1 AND seq > 7",
    "UPDATE sessions SET seq = 7, chain = (SELECT substr(frame, -32) FROM journal WHERE session = 1 AND seq = 7) WHERE id = 1",
)


@pytest.fixture
def home(tmp_path):
    return made(tmp_path / "journal", sessions=("conv-1", "conv-2"))


def found(home, *options):
    """What is printed where something is wrong."""
    result = run("verify", "--store", home, *options)
    assert (result.exit_code, result.stderr) == (1, "")
    return result.stdout.splitlines()


def test_a_journal_that_is_right_says_so(home):
    assert good("verify", "--store", home) == "2 sessions, 20 records, all right\n"
    assert good("verify", "conv-1", "--store", home) == "1 session, 10 records, all right\n"
    assert [one["ok"] for one in objects("verify", "--store", home)] == [True, True]


@pytest.mark.parametrize(
    ("statements", "sentence"),
    [
        ([CHANGE], "conv-1: record 4 was changed: the record's payload fails its checksum"),
        ([REMOVE], "conv-1: record 5 is missing"),
        ([REMOVE, "UPDATE journal SET seq = 5 WHERE session = 1 AND seq = 6"], "conv-1: record 5 is missing; the rows"),
        (
            [
                "UPDATE journal SET seq = -seq WHERE session = 1 AND seq IN (4, 7)",
                "UPDATE journal SET seq = 11 + seq WHERE session = 1 AND seq < 0",
            ],
            "conv-1: records 4 and 7 do not stand in their order",
        ),
        (
            ["INSERT INTO journal (pos, session, seq, frame) SELECT 900, 1, 11, frame FROM journal WHERE session = 1 AND seq = 10"],
            "conv-1: record 11 was inserted: it is a copy of record 10",
        ),
        (["DELETE FROM journal WHERE session = 1 AND seq > 7"], "conv-1: the end was cut off: records 8 to 10 are missing"),
    ],
    ids=["changed", "removed", "renumbered", "swapped", "inserted", "cut"],
)  # fmt: skip
def test_the_first_record_that_is_wrong_is_named(home, statements, sentence):
    sql(home, *statements)
    lines = found(home)
    assert lines[0].startswith(sentence)
    assert lines[1:] == ["2 sessions, 1 damaged"]
    rows = [json.loads(line) for line in found(home, "--json")]
    assert [(one["session"], one["ok"]) for one in rows] == [("conv-1", False), ("conv-2", True)]
    assert good("verify", "conv-2", "--store", home)


def test_an_anchor_names_a_cut_that_nothing_in_the_store_shows(home, tmp_path):
    anchors = tmp_path / "anchors"
    said = good("verify", "--store", home, "--write-anchor", anchors).splitlines()
    assert said == [
        "2 sessions, 20 records, all right",
        f"{anchors} written: keep it where the journal's writer cannot reach it",
    ]
    assert good("verify", "--store", home, "--anchor", anchors)
    sql(home, *CUT)
    assert good("verify", "--store", home)
    assert found(home, "--anchor", anchors)[0] == "conv-1: the end was cut off: records 8 to 10 are missing"


def test_no_anchor_is_taken_of_a_damaged_journal(home, tmp_path):
    anchors = tmp_path / "anchors"
    good("verify", "--store", home, "--write-anchor", anchors)
    before = anchors.read_bytes()
    sql(home, REMOVE)
    assert f"{anchors} was not written" in found(home, "--write-anchor", anchors)[1]
    assert anchors.read_bytes() == before


def test_a_journal_with_a_key_is_verified_with_it(tmp_path):
    written("conv-1", r.Noticed(code="a"), store=DiskStore(tmp_path / "journal", chain_key=b"secret"))
    key = tmp_path / "key"
    key.write_bytes(b"secret")
    assert good("verify", "--store", tmp_path / "journal", "--key-file", key)
    assert "give --key-file" in found(tmp_path / "journal")[0]
    (tmp_path / "empty").touch()
    assert bad("verify", "--key-file", tmp_path / "empty", "--store", tmp_path).startswith("[bad_use]")
    assert bad("verify", "--key-file", tmp_path / "nowhere", "--store", tmp_path).startswith("[bad_use]")


def test_damage_is_accepted_in_a_persons_name(home):
    sql(home, "DELETE FROM journal WHERE pos = (SELECT max(pos) FROM journal)")
    assert bad("verify", "--accept", "--store", home).startswith("[bad_use] nobody accepts the damage. Give --by")
    assert bad("pause", "charge", "--by", "ana", "--store", home).startswith("[store_damaged]")
    said = good("verify", "--accept", "--by", "ana", "--store", home)
    assert said.startswith("accepted: ")
    assert good("verify", "--accept", "--by", "ana", "--store", home) == "nothing is damaged\n"
    assert good("pause", "charge", "--by", "ana", "--store", home)


def test_bad_use_is_one_line(home, tmp_path):
    (tmp_path / "no-anchor").write_text("x")
    assert bad("verify", "conv-9", "--store", home).startswith("[unknown_ref] conv-9: there is no such session")
    assert bad("verify", "--store", home, "--anchor", tmp_path / "no-anchor").startswith("[anchor]")
    assert bad("verify", "--store", home, "--write-anchor", tmp_path / "no" / "x").startswith("[anchor]")
    assert bad("verify", "conv-1", "--store", home, "--write-anchor", "x").startswith("[bad_use]")
    assert bad("verify", "--accept", "--by", "x", "--store", "memory").startswith("[bad_use]")
    assert bad("verify", "--accept", "--by", "x", "--store", tmp_path / "none").startswith("[store_foreign]")
