"""Standard streams that are closed, and prompts that are no text: the run ends, with its code and at most one line."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.terminal.driver import PROGRAM


def run(tmp_path: Path, redirection: str, data: bytes = b"hi") -> tuple[int, str]:
    """The exit code and what was seen of a run whose streams a shell redirected."""
    script = tmp_path / "script.yaml"
    script.write_text(yaml.safe_dump([{"text": "the answer"}]))
    environment = {**os.environ, "ML_INTERN_HOME": str(tmp_path / "home")}
    command = f"'{PROGRAM}' -q --no-sandbox -m scripted:{script} {redirection}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=environment,
        input=data,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize(
    ("redirection", "seen"),
    [("-p hi <&-", "the answer"), ("-p hi >&-", ""), ("-p hi 2>&-", "the answer"), ("-p hi <&- >&- 2>&-", "")],
)
def test_a_closed_stream_leads_to_nowhere_and_the_run_ends_as_usual(
    tmp_path: Path, redirection: str, seen: str
) -> None:
    assert run(tmp_path, redirection) == (0, f"{seen}\n" if seen else "")


@pytest.mark.parametrize(
    "words", ["threads list", "runs list --json", "tools --json", "config show", "--help", "-p hi"]
)
def test_a_reader_that_closes_the_pipe_ends_the_program_silently(tmp_path: Path, words: str) -> None:
    """As `ml-intern threads list | head` does. The pipe is closed before the first line is written."""
    reading, writing = os.pipe()
    os.close(reading)
    (tmp_path / "script.yaml").write_text(yaml.safe_dump([{"text": "the answer"}]))
    options = ["-q", "-m", f"scripted:{tmp_path / 'script.yaml'}"] if words == "-p hi" else []
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [PROGRAM, *options, *words.split()],
            cwd=tmp_path,
            env={**os.environ, "ML_INTERN_HOME": str(tmp_path / "home")},
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=subprocess.PIPE,
            timeout=120,
            check=False,
        )
    assert (done.stderr, done.returncode) == (b"", 1)


@pytest.mark.parametrize("data", [bytes(range(128, 256)) * 20, b"\0" * 17 * 2**20], ids=["binary", "too much"])
def test_what_is_no_text_on_stdin_is_refused_before_anything_is_started(tmp_path: Path, data: bytes) -> None:
    code, seen = run(tmp_path, "", data)
    assert (code, len(seen.splitlines())) == (2, 1)
    assert "save it to a file" in seen


def test_a_script_that_is_not_there_is_one_line_and_no_thread(tmp_path: Path) -> None:
    environment = {**os.environ, "ML_INTERN_HOME": str(tmp_path / "home")}
    command = [PROGRAM, "-p", "-m", "scripted:nowhere.yaml", "hi"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (78, "", 1)
    assert "check the path after scripted:" in done.stderr
