"""--tool-runtime sandbox as a user runs it: the tools work elsewhere, what is lost is said, nothing is left running."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.program import Program
from tests.fakes.hub import FakeHub

REMOTE = ("--tool-runtime", "sandbox")


class Place(Program):
    """The program with the fake Hub in its environment."""

    def __init__(self, hub: FakeHub, root: Path) -> None:
        super().__init__(root, hub.environment(root / "hf"))
        self.hub = hub

    @property
    def stages(self) -> list[str]:
        return [job.stage for job in self.hub.jobs.found.values()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FakeHub() as hub:
        yield Place(hub, tmp_path)


def call(name: str, **args: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "args": args}]}


def test_the_tools_work_there_and_the_sandbox_ends_with_the_session(place: Place) -> None:
    model = place.script(
        call("write", path="a.py", content="print(6 * 7)\n"),
        {**call("bash", command="python a.py"), "expect": "Created a.py"},
        {"text": "done", "expect": "42"},
    )
    done = place.run("-m", model, *REMOTE, "--output-format", "json", "go")
    assert done.returncode == 0, done.stderr
    assert place.stages == ["CANCELED"]
    assert "and deleted its files" in done.stderr
    assert list(place.folder.iterdir()) == []
    rows = json.loads(done.stdout)["usage"]["by_source"]
    assert ("job", "sandbox cpu-basic") in {(row["source"], row["model"]) for row in rows}


def test_asked_for_and_not_to_be_had_is_an_error(place: Place) -> None:
    del place.environment["HF_TOKEN"]
    done = place.run("-m", place.script({"text": "x"}), *REMOTE, "go")
    assert (done.returncode, "cannot start a Hugging Face sandbox" in done.stderr) == (78, True)


def kill_in_a_command(place: Place) -> None:
    """Kill a session while its command runs in the sandbox."""
    model = place.script(call("bash", command="echo kept > a.txt; echo be''gun; sleep 60"), {"text": "x"})
    with place.start("-m", model, *REMOTE, "--output-format", "stream-json", "go") as process:
        assert process.stdout is not None
        assert any("begun" in line for line in process.stdout)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert place.stages == ["RUNNING"]


def test_after_a_kill_its_own_thread_keeps_it(place: Place) -> None:
    kill_in_a_command(place)
    settled = [{"text": "played already"}, {"text": "I see"}]
    look = place.script(*settled, call("bash", command="cat a.txt"), {"text": "x", "expect": "kept"})
    kept = place.run("-c", "-m", look, *REMOTE, "on")
    assert kept.returncode == 0, kept.stderr
    assert place.stages == ["CANCELED"]


def test_after_a_kill_the_start_of_another_thread_ends_it(place: Place) -> None:
    kill_in_a_command(place)
    swept = place.run("-m", place.script({"text": "hello"}), "--output-format", "stream-json", "else")
    assert place.stages == ["CANCELED"]
    assert "which a killed session left running" in swept.stdout
