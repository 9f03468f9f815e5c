"""A sub-agent's thread seen from outside: shown like any other, and gone on with after the program was killed."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.commands.program import Program

ASK = {"name": "research", "args": {"question": "What do the notes say about the rate?", "depth": "quick"}}
READ = {"tool_calls": [{"name": "read", "args": {"path": "notes.md"}}]}
CITED = "- The rate in the notes is 2e-4, as measured [notes.md:1]"


@pytest.fixture
def place(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    (program.folder / "notes.md").write_text("rate: 2e-4\n")
    return program


def test_its_thread_is_listed_on_request_and_shown(place: Program) -> None:
    child = place.script(READ, {"text": CITED}, name="child.yaml")
    main = place.script({"tool_calls": [ASK]}, {"text": "end"})
    assert place.run("-m", main, "--set", f"research_model={child}", "go").returncode == 0
    listed = json.loads(place.run("threads", "list", "--children", "--json").stdout)
    thread = next(row["id"] for row in listed if row["parent"])
    shown = place.run("threads", "show", thread).stdout
    for part in ("What do the notes say about the rate?", "-> read notes.md", "rate: 2e-4", CITED):
        assert part in shown


def test_killed_in_the_middle_it_goes_on_where_it_was(place: Program) -> None:
    child = place.script(READ, {"text": CITED, "delay": 60}, name="child.yaml")
    main = place.script({"tool_calls": [ASK]}, {"text": "end", "expect": "[notes.md:1]"}, {"text": "more"})
    options = ("-m", main, "--set", f"research_model={child}", "--output-format", "stream-json")
    with place.start(*options, "go") as process:
        assert process.stdout is not None
        next(line for line in process.stdout if json.loads(line)["type"] == "tool_log")
        os.killpg(process.pid, signal.SIGKILL)
    place.script(READ, {"text": CITED}, name="child.yaml")

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
