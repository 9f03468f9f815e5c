"""The homes of older versions are read and continued: threads of every state, runs, artifacts, undo, settings."""

import fcntl
import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_intern import cli
from tests.upgrade.make_home import BASE, HOME, WORK, call, script

DATA = Path(__file__).parent / "data"
FIRST, LATEST = DATA / "home-0.1.0.tar.xz", DATA / "home-1.0.0.tar.xz"
"""One home of each schema: 1.0.0 has schema 9. A release with another schema adds its own."""
STATES = {
    "done": "idle",
    "done (fork)": "idle",
    "failed": "interrupted",
    "artifact": "idle",
    "background run": "idle",
    "sub-agent": "idle",
    "compacted": "idle",
    "undone": "idle",
    "waiting": "waiting",
    "interrupted": "interrupted",
    "killed": "interrupted",
}


class Old:
    """The home of an older version, used with the present program in this process."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self.capture = capture

    def run(self, *words: str, code: int = 0) -> str:
        self.capture.readouterr()
        ended = cli.main(words)
        sys.stdout.flush()
        out, err = self.capture.readouterr()
        assert ended == code, f"{words}: {out}{err}"
        return out

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json"))

    def shown(self, thread: str) -> str:
        """The conversation of a thread, as JSON text."""
        return json.dumps(self.json("threads", "show", thread)["messages"])

    def script(self, thread: str, *steps: dict[str, Any]) -> str:
        """A model that continues a thread with these steps: scripts count the replies of the whole thread."""
        replies = [one for one in self.json("threads", "show", thread)["messages"] if one["role"] == "ai"]
        return script("continued", *[{"text": "played before"} for _ in replies], *steps)

    def go_on(self, thread: str, *steps: dict[str, Any]) -> str:
        """Continue a thread with a message and return the answer."""
        model = self.script(thread, *steps, steps[-1])  # an unfinished turn is ended by a reply of its own
        return self.run("-m", model, "-r", thread, "-p", "go on")


@pytest.fixture
def old(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Old]:
    """The home where it was made: approvals and snapshots belong to a folder. One test at a time uses that folder."""
    with Path(tempfile.gettempdir(), "ml-intern-upgrade.lock").open("w") as lock, Path(os.devnull).open() as nothing:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(BASE, ignore_errors=True)
        (BASE / "scripts").mkdir(parents=True)
        with tarfile.open(getattr(request, "param", FIRST)) as archive:
            archive.extractall(BASE, filter="data")
        monkeypatch.chdir(WORK)
        monkeypatch.setenv("ML_INTERN_HOME", str(HOME))
        monkeypatch.delenv("ML_INTERN_CLI_CONFIG", raising=False)
        monkeypatch.setattr(sys, "stdin", nothing)
        yield Old(capfd)
        monkeypatch.undo()
        shutil.rmtree(BASE)


def test_every_thread_is_listed_and_shown(old: Old) -> None:
    assert {row["title"]: row["state"] for row in old.json("threads", "list")} == STATES
    children = [row["title"] for row in old.json("threads", "list", "--children") if row["title"] not in STATES]
    assert children == ["What does done.txt say?"]
    assert "may have run in part" not in old.shown("killed")
    for title in STATES:
        assert title in old.run("threads", "show", title)
        assert title in old.run("threads", "export", title)
    [run] = old.json("jobs", "list")
    assert (run["state"], run["exit_code"], run["tail"]) == ("succeeded", 0, "loss: 0.25\n")
    assert old.run("jobs", "logs", run["id"]) == "loss: 0.25\n"


@pytest.mark.parametrize("thread", ["done", "done (fork)", "failed", "background run", "sub-agent", "interrupted"])
def test_a_thread_continues(old: Old, thread: str) -> None:
    assert old.go_on(thread, {"text": "It continues."}) == "It continues.\n"
    assert "go on" in old.shown(thread)


def test_a_call_that_the_process_died_in_is_reported_and_not_repeated(old: Old) -> None:
    (WORK / "killed.started").unlink()
    assert old.go_on("killed", {"text": "It continues."}) == "It continues.\n"
    assert "may have run in part" in old.shown("killed")
    assert not (WORK / "killed.started").exists()


def test_what_waits_is_approved_and_runs(old: Old) -> None:
    model = old.script("waiting", {"text": "Approved."})
    assert "touch approved.txt" in old.run("approve", "waiting", code=3)
    assert old.run("approve", "waiting", "--all", "-m", model) == "Approved.\n"
    assert (WORK / "approved.txt").exists()


def test_an_undone_turn_is_restored_and_undone_again_with_its_files(old: Old) -> None:
    file = WORK / "undone.txt"
    assert file.read_text() == "one\n"
    old.run("threads", "redo", "undone")
    assert file.read_text() == "two\n"
    old.run("threads", "undo", "undone", "2")
    assert not file.exists()
    assert old.json("threads", "show", "undone")["messages"] == []


@pytest.mark.parametrize(("thread", "pattern"), [("artifact", "*.txt"), ("compacted", "compaction-*.md")])
def test_what_was_moved_out_of_a_conversation_can_still_be_read(old: Old, thread: str, pattern: str) -> None:
    id = old.json("threads", "show", thread)["thread"]["id"]
    [path] = (HOME / "artifacts" / id).glob(pattern)
    reading = call("read", path=str(path), offset=100, limit=3)
    answer = old.go_on(thread, reading, {"text": "Read.", "expect": "10"})
    assert answer == "Read.\n"


def test_the_settings_are_accepted(old: Old) -> None:
    assert old.run("config", "check") == f"no errors in {HOME}/cli_agent_config.json\n"
    assert old.run("permissions", "list") == "deny  bash ruby\nask   job* over 5 USD\nallow bash make\n"


@pytest.mark.parametrize("old", [LATEST], indirect=True)
def test_threads_of_the_latest_schema_are_listed_continued_and_approved(old: Old) -> None:
    assert {row["title"]: row["state"] for row in old.json("threads", "list")} == STATES
    for title in ("done", "killed"):
        assert old.go_on(title, {"text": "It continues."}) == "It continues.\n"
    assert "may have run in part" in old.shown("killed")
    model = old.script("waiting", {"text": "Approved."})
    assert old.run("approve", "waiting", "--all", "-m", model) == "Approved.\n"
    assert (WORK / "approved.txt").exists()
    old.run("threads", "redo", "undone")
    assert (WORK / "undone.txt").read_text() == "two\n"


@pytest.mark.parametrize("home", [FIRST, LATEST])
def test_the_data_holds_no_path_but_its_own(home: Path) -> None:
    with tarfile.open(home) as archive:
        owners = {(member.uid, member.gid, member.uname, member.gname) for member in archive}
        files = [archive.extractfile(member) for member in archive if member.isfile()]
        texts = b"".join(file.read() for file in files if file).replace(bytes(WORK), b"").replace(bytes(BASE), b"")
    assert owners == {(0, 0, "", "")}
    for root in (b"/root", b"/Users/", b"/work/", b"/opt/", b"site-packages"):
        assert root not in texts
