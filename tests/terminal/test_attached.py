"""Two terminals on one thread: both show it, one answers, and the end of the process that runs it is one line."""

from collections.abc import Callable
from pathlib import Path

from tests.terminal.conftest import bash
from tests.terminal.driver import Terminal


def test_two_terminals_on_one_thread(start: Callable[..., Terminal]) -> None:
    holder = start({"text": "First answer."}, bash("touch made"), {"text": "Second answer."})
    holder.prompt()
    holder.enter("go")
    holder.expect("First answer.")
    other = start(options=("-c",))
    other.expect("attached to it")
    other.expect("First answer.")
    other.prompt()
    other.enter("more")
    holder.expect("Run this command")
    other.expect("Run this command")
    other.type("y\r")
    holder.expect("answered from another terminal")
    for terminal in (holder, other):
        terminal.expect("Second answer.")
        terminal.prompt()
    holder.process.kill()
    other.expect("the process that ran this thread has ended")
    assert other.ended() == 75


def test_a_terminal_that_attaches_shows_what_runs(start: Callable[..., Terminal], tmp_path: Path) -> None:
    command = "echo before; until [ -e ../over ]; do sleep 0.05; done; echo after"
    both = [bash("echo first of two")["tool_calls"][0], bash(command)["tool_calls"][0]]
    holder = start({"text": "On it.", "tool_calls": both}, {"text": "Done."}, options=("--yolo",))
    holder.prompt()
    holder.enter("go")
    holder.expect("before")
    other = start(options=("-c",))
    other.expect("attached to it")
    other.expect("On it.")
    other.expect("first of two")
    other.shows("before")
    (tmp_path / "over").touch()
    for terminal in (holder, other):
        terminal.expect("after")
        terminal.expect("Done.")
        terminal.prompt()
        rows = [row.rstrip() for row in terminal.screen.display]
        assert [rows.count(row) for row in ("On it.", "  first of two", "  before", "  after")] == [1, 1, 1, 1], rows
