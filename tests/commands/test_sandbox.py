"""The OS sandbox on the command line: default, asked for, declined, and `sandbox -- COMMAND`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ml_intern.sandbox.basic.wrapping import basic_problem
from ml_intern.sandbox.bubblewrap import sandbox_problem
from tests.commands.conftest import Done, call

Run = Callable[..., Done]
Script = Callable[..., str]
needs_basic = pytest.mark.skipif(basic_problem() is not None, reason=f"no basic sandbox here: {basic_problem()}")
needs_sandbox = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A PATH on which bwrap is not."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "bash").symlink_to("/bin/bash")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    sandbox_problem.cache_clear()
    yield
    sandbox_problem.cache_clear()


def ready(done: Done) -> tuple[str, str]:
    data = done.events[0]["data"]
    return data["sandbox"], " ".join(data["notes"])


@needs_sandbox
def test_by_default_commands_run_in_the_sandbox_and_ready_says_so(run: Run, script: Script, place: Path) -> None:
    model = script({"tool_calls": [call("bash", command=f"touch in ../out; ls {place.parent}")]}, {"text": "ok"})
    done = run("--output-format", "stream-json", "-m", model, "go")
    assert ready(done) == ("bwrap network list", "")
    assert (place / "in").exists()
    assert not (place.parent / "out").exists()


@needs_sandbox
def test_in_the_sandbox_the_projects_code_runs_unasked_and_without_it_is_asked_about(run: Run, script: Script) -> None:
    def asks(*options: str) -> int:
        model = script({"tool_calls": [call("bash", command="python3 -c 'print(1)' > out")]}, {"text": "ok"})
        return run("--approval-mode", "ask", *options, "-m", model, "go").code

    assert (asks(), asks("--sandbox"), asks("--no-sandbox")) == (0, 0, 3)
    test = ("permissions", "test", "--json")
    assert run(*test, "--", "python3 train.py").json["verdict"] == "allow"
    assert run(*test, "--no-sandbox", "--", "python3 train.py").json["verdict"] == "ask"


@needs_sandbox
def test_the_settings_choose_the_network_and_decline_the_sandbox(run: Run, script: Script) -> None:
    def shown(*options: str) -> str:
        return ready(run("--output-format", "stream-json", *options, "-m", script({"text": "ok"}), "go"))[0]

    assert shown("--set", "sandbox.network=off") == "bwrap network off"
    assert shown("--set", 'sandbox.hosts=["mirror.example"]') == "bwrap network list mirror.example"
    assert shown("--set", "sandbox.enabled=false") == "none"
    assert shown("--set", "sandbox.enabled=false", "--sandbox") == "bwrap network list"


@needs_basic
@pytest.mark.parametrize("options", [[], ["--sandbox"], ["--set", "sandbox.kind=basic"]])
def test_without_bubblewrap_the_basic_sandbox_is_used_and_ready_says_so(
    run: Run, script: Script, place: Path, no_bubblewrap: None, options: list[str]
) -> None:
    model = script({"tool_calls": [call("bash", command=": > in; : > ../out")]}, {"text": "ok"})
    done = run("--output-format", "stream-json", *options, "-m", model, "go")
    sandbox, notes = ready(done)
    assert (done.code, sandbox) == (0, "basic network list")
    assert notes.startswith("basic sandbox (")
    assert "weaker in:" in notes
    assert (place / "in").exists()
    assert not (place.parent / "out").exists()


@pytest.mark.parametrize("options", [[], ["--set", "sandbox.network=off"]])
def test_with_no_sandbox_code_waits_for_approval_and_what_is_fully_known_runs(
    run: Run, script: Script, place: Path, no_bubblewrap: None, options: list[str]
) -> None:
    def outcome(command: str, *more: str) -> int:
        model = script({"tool_calls": [call("bash", command=command)]}, {"text": "ok"})
        return run("--set", "sandbox.kind=bubblewrap", *options, *more, "-m", model, "go").code

    assert outcome("echo hi > said; [ -f said ]; mkdir made") == 0
    assert (place / "said").read_text() == "hi\n"
    for command in ("python3 x.py", "bash said", "./made", "pytest", "find . -exec sh -c : \\;", "$(cat said)"):
        assert outcome(command) == 3, command
    assert outcome("bash said", "--no-sandbox") == 0


@needs_basic
def test_doctor_names_the_sandbox(run: Run, no_bubblewrap: None) -> None:
    shown = run("doctor", "--json").json["programs"]["sandbox"]
    assert shown.startswith("basic sandbox (bubblewrap is not installed")
    missing = run("doctor", "--json", "--set", "sandbox.kind=bubblewrap").json["programs"]["sandbox"]
    assert missing.startswith("bubblewrap is not installed (apt install")


def test_with_no_sandbox_the_start_names_the_remedy(run: Run, script: Script, no_bubblewrap: None) -> None:
    argv = ("--output-format", "stream-json", "--set", "sandbox.kind=bubblewrap", "-m", script({"text": "ok"}), "go")
    sandbox, notes = ready(run(*argv))
    assert sandbox == "none"
    assert "no sandbox: bubblewrap is not installed (apt install bubblewrap" in notes
    assert "needs --no-sandbox or your approval" in notes


@pytest.mark.parametrize("argv", [["--sandbox", "go"], ["--set", "sandbox.enabled=true", "go"]])
def test_asked_for_and_missing_is_an_error_and_nothing_runs(
    run: Run, script: Script, no_bubblewrap: None, argv: list[str]
) -> None:
    done = run("-q", "--set", "sandbox.kind=bubblewrap", "-m", script({"text": "ok"}), *argv)
    assert (done.code, done.out) == (78, "")
    assert "apt install bubblewrap" in done.err


@needs_basic
def test_the_basic_sandbox_is_not_used_where_it_cannot_hide_ml_interns_data(
    run: Run, script: Script, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ML_INTERN_HOME", str(place / "inside"))
    argv = ("--set", "sandbox.kind=basic", "-m", script({"text": "ok"}), "go")
    sandbox, notes = ready(run("--output-format", "stream-json", *argv))
    assert sandbox == "none"
    assert "cannot hide ml-intern's folder" in notes
    assert "set ML_INTERN_HOME to a folder elsewhere" in notes
    assert run("--sandbox", *argv).code == 78


@needs_sandbox
@pytest.mark.parametrize("folder", ["/", "~", "/tmp", "/etc"])
def test_a_folder_that_must_not_be_handed_over_has_no_sandbox(run: Run, script: Script, folder: str) -> None:
    argv = ("-C", folder, "--ephemeral", "-m", script({"text": "ok"}), "go")
    assert "cannot be used as a sandbox folder" in ready(run("--output-format", "stream-json", *argv))[1]
    assert run("--sandbox", *argv).code == 78
    assert run("sandbox", "-C", folder, "--", "true").code == 78


@needs_sandbox
def test_a_command_runs_in_it_and_its_exit_code_is_passed_on(run: Run, place: Path) -> None:
    done = run("sandbox", "--", "touch in ../out; echo done; exit 7")
    assert (done.code, done.out) == (7, "done\n")
    assert (place / "in").exists()
    assert not (place.parent / "out").exists()
    assert run("sandbox", "--", "test", "a b", "=", "a b").code == 0
    assert run("sandbox", "--network", "none", "--", "true").code == 2
    assert run("sandbox").code == 2
