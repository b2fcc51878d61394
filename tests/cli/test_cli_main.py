"""The command line as a whole: a process of its own, help, completion, the demo's door, and faults without tracebacks."""

import subprocess
import sys

import pytest
from cli_house import alone, bad, good, run

from audit_house import made  # isort: skip
from toolguard.cli import audit as audit_module
from toolguard.cli import main as main_module


def test_python_m_toolguard_is_the_command(tmp_path):
    made(tmp_path / "journal")
    done = alone("audit", "--phase", "in_doubt", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "conv-1/3" in done.stdout
    done = alone("audit", "conv-9", TOOLGUARD_STORE=str(tmp_path / "journal"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "[unknown_ref] conv-9: there is no such session in this store. See `toolguard audit sessions`.\n"
    )


def test_the_default_store_is_the_journal_of_the_working_directory(tmp_path):
    done = alone("audit", cwd=tmp_path, TOOLGUARD_STORE="")
    assert done.stderr.startswith(f"[store_foreign] there is no journal in {tmp_path}/journal")


def test_a_reader_that_goes_away_is_no_fault(tmp_path):
    made(tmp_path / "journal", sessions=[f"conv-{n}" for n in range(40)])
    script = f"{sys.executable} -m toolguard audit --json --limit 0 --store {tmp_path / 'journal'} | head -1"
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith('{"ref":')
    assert done.stderr == ""


@pytest.mark.parametrize("command", ["audit", "verify", "resolve", "pause", "resume", "recover", "doctor", "demo"])
def test_every_command_explains_itself(command):
    assert command in good("--help")
    assert good(command, "--help")


def test_the_version_is_told():
    assert good("--version").startswith("toolguard-voice ")


def test_an_unknown_command_is_one_line():
    assert bad("nonsense").startswith("[bad_use] No such command 'nonsense'.")


def test_without_a_command_help_is_shown():
    result = run()
    assert "audit" in result.stdout + result.stderr
    assert "Traceback" not in result.output


def test_a_fault_is_one_line_unless_one_asks_for_more(monkeypatch):
    async def broken(*_args, **_more):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(audit_module, "_calls", broken)
    monkeypatch.delenv("TOOLGUARD_DEBUG", raising=False)
    assert bad("audit") == (
        "[fault] ZeroDivisionError: by zero. This is a fault of toolguard; TOOLGUARD_DEBUG=1 shows where."
    )
    assert isinstance(run("audit", env={"TOOLGUARD_DEBUG": "1"}).exception, ZeroDivisionError)


def test_the_demo_is_played_with_its_own_arguments(monkeypatch):
    from toolguard.testing import demo

    played = []
    monkeypatch.setattr(demo, "main", lambda args: played.append(args) or 3)
    assert run("demo", "--store", "x", "--json").exit_code == 3
    assert played == [["--store", "x", "--json"]]


def test_a_demo_that_lacks_a_package_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "toolguard.testing.demo", None)
    assert bad("demo").startswith("[bad_use] the demo needs")


def test_shell_completion_is_offered():
    done = alone(_TOOLGUARD_COMPLETE="complete_bash", COMP_WORDS="toolguard aud", COMP_CWORD="1")
    assert done.stdout.split() == ["audit"]
    assert "--show-completion" in good("--help")


def test_the_commands_load_no_framework():
    code = "import toolguard.cli.main, sys; print([m for m in ('openai', 'livekit', 'pipecat') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_main_runs_the_app(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["toolguard", "--version"])
    with pytest.raises(SystemExit) as ended:
        main_module.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("toolguard-voice ")
