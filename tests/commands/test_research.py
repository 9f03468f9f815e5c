"""A sub-agent's thread seen from outside: shown like any other, and gone on with after the program was killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PROGRAM = str(Path(sys.executable).with_name("ml-intern"))
ASK = {"name": "research", "args": {"question": "What do the notes say about the rate?", "depth": "quick"}}
CITED = "- The rate in the notes is 2e-4, as measured [notes.md:1]"


class Place:
    """A folder, a home, and the scripts of the two models."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "work"
        self.folder.mkdir()
        (self.folder / "notes.md").write_text("rate: 2e-4\n")
        kept = {name: value for name, value in os.environ.items() if not name.endswith(("_TOKEN", "_KEY"))}
        self.environment = {**kept, "ML_INTERN_HOME": str(root / "home"), "HF_HOME": str(root / "hf")}

    def script(self, name: str, *steps: dict[str, Any]) -> str:
        path = self.root / name
        path.write_text(yaml.safe_dump(list(steps)))
        return f"scripted:{path}"

    def start(self, *argv: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [PROGRAM, *argv], cwd=self.folder, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def run(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        with self.start(*argv) as process:
            out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_its_thread_is_listed_on_request_and_shown(place: Place) -> None:
    child = place.script(
        "child.yaml", {"tool_calls": [{"name": "read", "args": {"path": "notes.md"}}]}, {"text": CITED}
    )
    main = place.script("main.yaml", {"tool_calls": [ASK]}, {"text": "end"})
    assert place.run("-m", main, "--set", f"research_model={child}", "go").returncode == 0
    listed = json.loads(place.run("threads", "list", "--children", "--json").stdout)
    thread = next(row["id"] for row in listed if row["parent"])
    shown = place.run("threads", "show", thread).stdout
    for part in ("What do the notes say about the rate?", "-> read notes.md", "rate: 2e-4", CITED):
        assert part in shown


def test_killed_in_the_middle_it_goes_on_where_it_was(place: Place) -> None:
    reads = {"tool_calls": [{"name": "read", "args": {"path": "notes.md"}}]}
    child = place.script("child.yaml", reads, {"text": CITED, "delay": 60})
    main = place.script("main.yaml", {"tool_calls": [ASK]}, {"text": "end", "expect": "[notes.md:1]"}, {"text": "more"})
    options = ("-m", main, "--set", f"research_model={child}", "--output-format", "stream-json")
    with place.start(*options, "go") as process:
        assert process.stdout is not None
        next(line for line in process.stdout if json.loads(line)["type"] == "tool_log")
        os.killpg(process.pid, signal.SIGKILL)
    place.script("child.yaml", reads, {"text": CITED})

    again = place.run(*options, "-c", "and now?")
    assert again.returncode == 0, again.stderr
    events = [json.loads(line) for line in again.stdout.splitlines()]
    outputs = [event["data"] for event in events if event["type"] == "tool_output"]
    assert [CITED in output["text"] for output in outputs if output["name"] == "research"] == [True]
    listed = json.loads(place.run("threads", "list", "--children", "--json").stdout)
    assert len(listed) == 2
    thread = next(row["id"] for row in listed if row["parent"])
    messages = json.loads(place.run("threads", "show", thread, "--json").stdout)["messages"]
    assert [message["role"] for message in messages] == ["human", "ai", "tool", "ai"]
