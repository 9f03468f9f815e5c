"""The installed program in processes of its own: start-up, help, signals, pipes and folders that are in its way."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from ml_intern.commands.failure import report
from ml_intern.configs.env import CREDENTIALS
from ml_intern.configs.version import version

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = str(Path(sys.executable).with_name("ml-intern"))
HEAVY = ("langgraph", "langchain_core", "litellm", "huggingface_hub", "pydantic", "rich", "prompt_toolkit", "aiosqlite")
WAIT = 60


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in CREDENTIALS and name != "PYTHONPATH"}
    return {**kept, "ML_INTERN_HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "no-login")}


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    def write(*steps: object) -> str:
        (tmp_path / "script.yaml").write_text(yaml.safe_dump(list(steps)))
        return f"scripted:{tmp_path / 'script.yaml'}"

    return write


def run(*argv: str, env: Mapping[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv, env=env, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=WAIT, check=False
    )


@pytest.mark.parametrize("words", ["--help", "threads --help", "threads list --help", "--version"])
def test_help_loads_nothing_heavy(words: str, environment: dict[str, str], tmp_path: Path) -> None:
    program = (
        "import sys; from ml_intern.__main__ import main\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = run(sys.executable, "-c", program, *words.split(), env=environment, cwd=tmp_path)
    assert done.returncode == 0
    assert "ml-intern" in done.stdout
    assert done.stderr.strip() == "[]"


def test_the_version_is_the_installed_one(environment: dict[str, str], tmp_path: Path) -> None:
    assert run(PROGRAM, "-V", env=environment, cwd=tmp_path).stdout == f"ml-intern {version()}\n"


def test_it_also_starts_as_a_module_of_the_checkout(environment: dict[str, str]) -> None:
    done = run(sys.executable, "-m", "ml_intern", "-V", env=environment, cwd=ROOT)
    assert done.stdout == f"ml-intern {version()}\n"


def test_a_hostile_workspace_is_only_a_folder(
    environment: dict[str, str], tmp_path: Path, script: Callable[..., str]
) -> None:
    model = script(
        {"tool_calls": [{"name": "bash", "args": {"command": "echo PYTHONPATH=$PYTHONPATH"}}]}, {"text": "ok"}
    )
    work = tmp_path / "work"
    for name in ("graph", "tools", "models", "configs", "commands", "store", "safety", "yaml", "typer"):
        (work / name).mkdir(parents=True)
        (work / name / "__init__.py").write_text("raise SystemExit('the workspace was imported')")
    (work / "cli.py").write_text("raise SystemExit('the workspace was imported')")
    environment["PYTHONPATH"] = "."
    done = run(PROGRAM, "--verbose", "-m", model, "go", env=environment, cwd=work)
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
    assert re.search(r"PYTHONPATH=(\S+:)?\.\n", done.stderr), "the command lost the user's PYTHONPATH"


def test_a_working_folder_that_is_gone_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = f"rmdir {tmp_path}/gone; exec {PROGRAM} -m scripted:x go"
    done = run("bash", "-c", program, env=environment, cwd=tmp_path / "gone")
    assert done.returncode == 78
    assert done.stderr == "ml-intern: the working folder no longer exists (cd to another, or give -C DIR)\n"


def test_an_interrupted_ephemeral_run_does_not_offer_to_resume(
    environment: dict[str, str], tmp_path: Path, script: Callable[..., str]
) -> None:
    model = script({"tool_calls": [{"name": "bash", "args": {"command": "touch began; sleep 600"}}]})
    command = [PROGRAM, "--ephemeral", "-m", model, "go"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for((tmp_path / "began").exists)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=WAIT)
    assert (process.returncode, err.decode().splitlines()[-1]) == (143, "ml-intern: terminated")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_its_result_and_leaves_the_thread_usable(
    number: signal.Signals, code: int, environment: dict[str, str], tmp_path: Path, script: Callable[..., str]
) -> None:
    model = script({"tool_calls": [{"name": "bash", "args": {"command": "touch began; sleep 600"}}]}, {"text": "later"})
    command = [PROGRAM, "-m", model, "--output-format", "stream-json", "go"]
    process = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for((tmp_path / "began").exists)
    process.send_signal(number)
    out, err = process.communicate(timeout=WAIT)
    last = json.loads(out.decode().splitlines()[-1])
    assert process.returncode == code
    assert (last["type"], last["data"]["status"], last["data"]["exit_code"]) == ("result", "interrupted", code)
    assert f"continue the turn with: ml-intern -r {last['thread_id'][:8]}" in err.decode()
    again = run(PROGRAM, "-q", "-c", "-m", model, "go on", env=environment, cwd=tmp_path)
    assert (again.returncode, again.stdout, again.stderr) == (0, "later\n", "")


def test_a_second_signal_ends_a_run_whose_command_does_not_end(
    environment: dict[str, str], tmp_path: Path, script: Callable[..., str]
) -> None:
    command = "trap '' TERM INT; touch began; while true; do sleep 1; done"
    model = script({"tool_calls": [{"name": "bash", "args": {"command": command}}]})
    process = subprocess.Popen(
        [PROGRAM, "-m", model, "--no-sandbox", "go"], env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    wait_for((tmp_path / "began").exists)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)  # less than the grace period of the command
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT)
    assert process.returncode == -signal.SIGTERM


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_closed_pipe_ends_the_run_quietly(
    environment: dict[str, str], tmp_path: Path, script: Callable[..., str]
) -> None:
    steps = [{"tool_calls": [{"name": "bash", "args": {"command": f"echo {number}"}}]} for number in range(50)]
    program = f"{PROGRAM} -m {script(*steps)} --output-format stream-json go | head -1; echo ${{PIPESTATUS[0]}}"
    done = run("bash", "-c", program, env=environment, cwd=tmp_path)
    first, code = done.stdout.splitlines()
    assert json.loads(first)["type"] == "ready"
    assert code == "1"
    assert done.stderr == ""


def test_a_full_disk_under_stdout_is_one_line(
    environment: dict[str, str], tmp_path: Path, script: Callable[..., str]
) -> None:
    program = f"{PROGRAM} -q -m {script({'text': 'ok'})} go > /dev/full"
    done = run("bash", "-c", program, env=environment, cwd=tmp_path)
    assert done.returncode == 75
    assert done.stderr.startswith("ml-intern: the disk is full")
    assert len(done.stderr.splitlines()) == 1


def test_a_thread_that_runs_elsewhere_is_exit_75(
    environment: dict[str, str], tmp_path: Path, script: Callable[..., str]
) -> None:
    model = script({"tool_calls": [{"name": "bash", "args": {"command": "touch began; sleep 600"}}]}, {"text": "later"})
    process = subprocess.Popen(
        [PROGRAM, "-m", model, "go"], env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for((tmp_path / "began").exists)
        done = run(PROGRAM, "-q", "-c", "-m", model, "me too", env=environment, cwd=tmp_path)
    finally:
        process.terminate()
        process.wait(WAIT)
    assert (done.returncode, done.stdout) == (75, "")
    assert str(process.pid) in done.stderr


def test_what_nobody_foresaw_is_one_line_and_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ML_INTERN_HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake-0123456789abcdef")
    assert report(ValueError("something\nodd with sk-fake-0123456789abcdef")) == 1
    log = tmp_path / "logs" / "errors.log"
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert str(log) in said
    assert "ValueError: something" in log.read_text()
    assert "sk-fake" not in said + log.read_text()
    assert log.parent.stat().st_mode & 0o777 == 0o700
