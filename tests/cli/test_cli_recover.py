"""``toolguard recover`` goes on where a dead process stopped, and says what became of its runs."""

import asyncio
import importlib

import pytest
from cli_house import alone, application, bad, die, objects, run


@pytest.fixture
def app(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return application(tmp_path)


def recovered(app, *args, code=0):
    result = run("recover", *args, "--app", f"{app}:guard")
    assert (result.exit_code, result.stderr) == (code, ""), (result.stdout, result.stderr)
    return result.stdout.splitlines()


def test_h4_a_read_that_was_cut_off_runs_again(app, tmp_path):
    die(tmp_path, app, "look", "conv-1")
    lines = recovered(app, "conv-1")
    assert lines[0].startswith("conv-1: its process died, ")
    assert lines[1:] == ["  conv-1/1  was resumed, is done"]


@pytest.mark.parametrize(("wait", "now"), [("10", "done"), ("0", "cancelled")])
def test_h4_an_uncommitted_write_goes_on_for_as_long_as_it_is_waited_for(app, tmp_path, wait, now):
    die(tmp_path, app, "slow", "conv-1")
    assert recovered(app, "conv-1", "--wait", wait)[1:] == [f"  conv-1/1  was resumed, is {now}"]


def test_h4_a_committed_mutation_is_looked_into_by_its_probe(app, tmp_path):
    die(tmp_path, app, "book", "conv-1")
    assert recovered(app, "conv-1")[1:] == ["  conv-1/1  was in doubt, is done"]
    (call,) = objects("audit", "conv-1/1", "--store", tmp_path / "journal")
    assert (call["source"], call["evidence"], call["epochs"]) == ("probe", "the book", [1, 2])


def test_d3_a_committed_mutation_without_a_probe_needs_a_person_and_the_command_says_so(app, tmp_path):
    die(tmp_path, app, "charge", "conv-1")
    lines = recovered(app, "conv-1", "--wait", "0.2", code=1)
    assert lines[1] == "  conv-1/1  was in doubt, is in doubt"
    assert lines[2].startswith("  conv-1/1  needs a person: toolguard resolve conv-1/1 ")


def test_the_plan_is_shown_and_nothing_is_touched(app, tmp_path):
    die(tmp_path, app, "book", "conv-1")
    before = objects("audit", "conv-1/1", "--store", tmp_path / "journal")
    lines = recovered(app, "conv-1", "--plan")
    assert lines[0].endswith(" s after its last record")
    assert " is gone; epoch 1, " in lines[0]
    assert lines[1:] == ["  conv-1/1  book (committing): probe, because it may have happened: its probe is asked"]
    (plan,) = objects("recover", "conv-1", "--plan", "--app", f"{app}:make")
    assert (plan["epoch"], plan["owner_lives"]) == (1, False)
    assert [(step["ref"], step["act"]) for step in plan["steps"]] == [("conv-1/1", "probe")]
    assert objects("audit", "conv-1/1", "--store", tmp_path / "journal") == before


def test_t2_watching_goes_on_with_sessions_whose_process_has_died(app, tmp_path):
    for tool, session in (("look", "conv-1"), ("book", "conv-2")):
        die(tmp_path, app, tool, session)
    rows = objects("recover", "--watch", "--for", "2", "--app", f"{app}:make")
    assert [(one["session"], one["cause"], one["now"]) for one in rows] == [
        ("conv-1", "its process died", {"conv-1/1": "done"}),
        ("conv-2", "its process died", {"conv-2/1": "done"}),
    ]


def test_all_open_sessions_without_a_living_owner_are_recovered(app, tmp_path):
    for tool, session in (("look", "conv-1"), ("book", "conv-2")):
        die(tmp_path, app, tool, session)
    rows = objects("recover", "--all", "--app", f"{app}:make")
    assert [(one["session"], one["now"]) for one in rows] == [
        ("conv-1", {"conv-1/1": "done"}),
        ("conv-2", {"conv-2/1": "done"}),
    ]
    assert objects("recover", "--all", "--app", f"{app}:make") == []
    assert recovered(app, "conv-1")[0].startswith("conv-1: nothing was open")


def test_t2_a_session_whose_process_lives_is_left_to_it(app, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module(app)

    async def play(*options):
        async with module.Guard(tmp_path / "journal", tools=[module.look]) as guard, guard.session("conv-1"):
            await module.look("Pune")
            return await asyncio.to_thread(
                alone, "recover", *options, "--app", f"{app}:guard", cwd=tmp_path
            ), guard.process

    done, process = asyncio.run(play("conv-1"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"[still_owned] conv-1: process {process} has it and is alive. Leave it to that")
    done, _ = asyncio.run(play("--all"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done, _ = asyncio.run(play("conv-1", "--take"))
    assert (done.returncode, done.stderr) == (0, "")


def test_bad_use_is_one_line(app):
    guard = ("--app", f"{app}:guard")
    assert bad("recover", "conv-1").startswith("[bad_use] recovering runs tools. Name the application's guard")
    assert bad("recover", *guard).startswith("[bad_use] name one session, or --all")
    assert bad("recover", "conv-1", "--all", *guard).startswith("[bad_use] name one session, or --all")
    assert bad("recover", "--all", "--take", *guard).startswith("[bad_use] --take and --plan are for one session")
    assert bad("recover", "conv-9", *guard).startswith("[unknown_ref] conv-9: there is no such session to recover")
    assert bad("recover", "conv-9", "--app", f"{app}:broken").startswith(
        f"[bad_use] --app {app}:broken cannot be loaded: RuntimeError: no settings"
    )
