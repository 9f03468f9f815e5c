"""Lists over the input line: earlier messages, and the outputs of calls."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

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
