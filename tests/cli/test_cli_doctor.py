"""``toolguard doctor`` tells whether the environment is fit, and whether somebody else owns our import name."""

import sqlite3
import sys
import types
from importlib import metadata

import pytest
from cli_house import application, die, good, objects, run

from audit_house import made  # isort: skip
from toolguard.cli import clash
from toolguard.cli import doctor as doctor_module
from toolguard.stores.redis import RedisStore
from toolguard.testing.stores.valkey import valkey


def told(*args):
    return {one["what"]: one for one in objects("doctor", *args)}


def test_python_sqlite_release_and_store_are_told(tmp_path):
    home = made(tmp_path / "journal", sessions=("conv-1", "conv-2"))
    found = told("--store", home)
    assert found["python"]["state"] == found["toolguard"]["state"] == found["import name"]["state"] == "ok"
    assert found["sqlite"]["words"].startswith(sqlite3.sqlite_version)
    assert found["store"]["words"] == f"disk:{home}: 2 sessions, 20 records"
    assert found["in doubt"]["words"] == "2 calls need a probe or a person: toolguard audit --phase in_doubt"
    good("pause", "charge", "--by", "ana", "--store", home)
    assert told("--store", home)["paused tools"]["words"] == "charge"
    assert "ok       python" in good("doctor", "--store", home)


def test_settings_that_weaken_the_promise_are_told(tmp_path):
    with valkey(tmp_path / "valkey", appendfsync="everysec") as server:
        store = RedisStore(server.url, wait=30.0)
        store.open("p1")
        sentences = store.weak()
        assert sentences
        store.close()
        found = [one["words"] for one in objects("doctor", "--store", server.url) if one["what"] == "weak store"]
        assert found == sentences
        shown = good("doctor", "--store", server.url)
        assert all(f"note     weak store         {sentence}" in shown for sentence in sentences)
    assert "weak store" not in told("--store", made(tmp_path / "journal", sessions=("conv-1",)))


def test_sessions_that_nobody_serves_any_more_are_told(tmp_path):
    name = application(tmp_path)
    die(tmp_path, name, "look", "conv-1")
    words = told("--store", tmp_path / "journal")["open sessions"]["words"]
    assert words == "1 open sessions have no living owner: toolguard recover --all --app module:guard"


@pytest.mark.parametrize(("version", "state"), [((3, 40, 1), "note"), ((3, 51, 3), "ok")])
def test_an_sqlite_with_the_wal_fault_is_told(monkeypatch, tmp_path, version, state):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    found = told("--store", tmp_path / "journal")["sqlite"]
    assert found["state"] == state
    assert ("WAL" in found["words"]) is (state == "note")


def test_a_place_without_a_journal_is_only_noted(tmp_path):
    assert told("--store", tmp_path / "journal")["store"]["state"] == "note"
    assert not (tmp_path / "journal").exists()


def test_a_store_that_cannot_be_read_is_a_problem(tmp_path):
    (tmp_path / "journal.sqlite3").write_text("not a database")
    result = run("doctor", "--store", tmp_path)
    assert result.exit_code == 1
    assert "problem  store              [store_foreign]" in result.stdout


def test_the_other_distribution_of_this_name_is_found_by_its_packages(tmp_path):
    assert clash.mixed(str(tmp_path)) == ""
    (tmp_path / "runtime").mkdir()
    assert clash.mixed(str(tmp_path)) == ""
    (tmp_path / "runtime" / "__init__.py").touch()
    words = clash.mixed(str(tmp_path))
    assert "IBM's distribution 'toolguard', which put toolguard.runtime here" in words
    assert "pip uninstall -y toolguard toolguard-voice" in words


def test_the_other_distribution_of_this_name_is_found_by_its_metadata(monkeypatch, tmp_path):
    assert clash.installed() == ""
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.4.2" if name == "toolguard" else real(name))
    assert "IBM's distribution 'toolguard' 0.4.2 is installed beside 'toolguard-voice'" in clash.installed()
    result = run("doctor", "--store", tmp_path / "journal")
    assert result.exit_code == 1
    assert "problem  import name" in result.stdout


def test_installed_frameworks_are_told_with_their_versions(monkeypatch, tmp_path):
    real = metadata.version
    versions = {"openai": "9.9", "livekit-agents": "1.8.9"}

    def version(name):
        if name in doctor_module._FRAMEWORKS:
            if name in versions:
                return versions[name]
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    found = told("--store", tmp_path / "journal")
    assert found["OpenAI Realtime"]["words"] == "openai 9.9"
    assert found["LiveKit Agents"]["words"] == "livekit-agents 1.8.9"
    assert "Pipecat" not in found
    versions.clear()
    assert told("--store", tmp_path / "journal")["frameworks"]["state"] == "note"


def test_a_capability_matrix_is_shown_where_the_adapters_have_one(monkeypatch, tmp_path):
    module = types.ModuleType(doctor_module.MATRIX)
    module.ROWS = [{"adapter": "fake", "notes": "yes"}, {"adapter": "other", "notes": "no"}]
    monkeypatch.setitem(sys.modules, doctor_module.MATRIX, module)
    text = good("doctor", "--store", tmp_path / "journal").splitlines()
    assert [line.split() for line in text[-3:]] == [["adapter", "notes"], ["fake", "yes"], ["other", "no"]]
    assert told("--store", tmp_path / "journal")["capability"]["adapter"] == "other"
    monkeypatch.setitem(sys.modules, doctor_module.MATRIX, None)
    assert doctor_module.matrix() == []
