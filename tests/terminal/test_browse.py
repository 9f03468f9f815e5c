"""Lists over the input line: earlier messages, and the outputs of calls."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.terminal.conftest import bash
from tests.terminal.driver import CTRL_C, CTRL_D, ESCAPE, Terminal

CTRL_O, CTRL_R = "\x0f", "\x12"
STEPS = [
    {"tool_calls": [{"name": "bash", "args": {"command": "seq 100"}}]},
    {"text": "Counted."},
    {"text": "Again."},
]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "work").mkdir()
    (tmp_path / "script.yaml").write_text(yaml.safe_dump(STEPS))
    options = ["--no-sandbox", "--yolo", "-m", f"scripted:{tmp_path / 'script.yaml'}"]
    opened = Terminal(options, tmp_path / "work", tmp_path / "home", PAGER="cat")
    opened.prompt()
    opened.enter("count to a hundred")
    opened.expect("Counted.")
    opened.prompt()
    yield opened
    opened.close()


def test_an_earlier_message_is_chosen_by_a_filter_and_comes_back_to_the_line(terminal: Terminal) -> None:
    terminal.enter("thanks")
    terminal.expect("Again.")
    terminal.prompt()
    terminal.type(CTRL_R)
    terminal.shows("Earlier messages")
    terminal.type("hundred")
    terminal.shows("hundred 1/2")
    terminal.type("\r")
    terminal.shows("> count to a hundred")
    terminal.prompt()
    terminal.type(f"{CTRL_C}{CTRL_R}")
    terminal.shows("Earlier messages")
    terminal.type(ESCAPE)
    terminal.prompt()
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


def test_the_whole_output_of_a_call_is_shown_in_a_pager(terminal: Terminal) -> None:
    terminal.type(CTRL_O)
    terminal.shows("Outputs, the latest first")
    terminal.type("\r")
    shown = terminal.expect("100\r\n")
    assert "\r\n42\r\n" in shown
    terminal.prompt()
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


def test_the_list_of_outputs_has_what_runs_and_what_was_rejected_and_does_not_end_a_question(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    slow = bash("echo $((6 * 7)) so far; until [ -e go ]; do sleep 0.1; done")
    terminal = start(bash("touch a"), slow, bash("touch b"), {"text": "Done."}, PAGER="cat")
    terminal.prompt()
    terminal.enter("go")
    terminal.shows("View all of it")
    terminal.type("n\r")
    terminal.shows("until [ -e go ]")
    terminal.shows("View all of it")
    terminal.type("y\r")
    terminal.shows("42 so far")
    terminal.type(CTRL_O)
    terminal.shows("done  running")
    terminal.type("\r")
    terminal.expect("42 so far")
    terminal.type(CTRL_O)
    terminal.shows("bash touch a  rejected")
    terminal.shows("  working  ")
    (tmp_path / "work" / "go").touch()
    terminal.shows("  waiting for you  ")
    terminal.type(ESCAPE)
    terminal.shows("$ touch b")
    terminal.type(CTRL_O)
    terminal.shows("bash touch b  waiting for your answer")
    terminal.type("\r")
    terminal.expect("$ touch b")
    terminal.shows("View all of it")
    terminal.type("y\r")
    terminal.expect("Done.")
    assert (tmp_path / "work" / "b").exists()


def test_a_call_that_was_not_answered_is_listed_as_not_run(start: Callable[..., Terminal]) -> None:
    terminal = start(bash("touch a"), {"text": "Done."})
    terminal.prompt()
    terminal.enter("go")
    terminal.shows("View all of it")
    terminal.type(ESCAPE)
    terminal.prompt()
    terminal.type(CTRL_O)
    terminal.shows("bash touch a  not run")
