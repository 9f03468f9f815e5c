"""A session in plain mode, on a terminal of its own: lines in order, numbered questions, no control sequence."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.terminal.conftest import bash
from tests.terminal.driver import CTRL_C, CTRL_D, Terminal

CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
SAYS = {"text": "All\x1b[31m done.", "expect": "use another name"}
PLAN = {"tool_calls": [{"name": "plan", "args": {"steps": [{"text": "train", "status": "completed"}]}}]}


def approve_and_reject(terminal: Terminal) -> None:
    terminal.type("make \\\na file\n")
    assert "touch one" in terminal.expect("1. Yes (y)")
    terminal.expect("answer: ")
    terminal.type("1\n")
    terminal.expect("running: ")
    terminal.expect("1. Yes (y)")
    terminal.expect("answer: ")
    terminal.type("use another name\n")
    terminal.expect("done.")
    terminal.expect("\n> ")


def undo(terminal: Terminal) -> None:
    terminal.type("/undo\n")
    assert "2. 2 plan it" in terminal.expect("answer: ")
    terminal.type("1\n")
    assert "remove  one" in terminal.expect("3. Files only (f)")
    terminal.expect("answer: ")
    terminal.type("b\n")
    terminal.expect("undone: 3 turns")
    terminal.expect("the message was: make")
    terminal.expect("\n> ")


def interrupt(terminal: Terminal) -> None:
    terminal.type("wait\n")
    terminal.expect("running: ")
    terminal.type(CTRL_C)
    terminal.expect("may have run in part: bash")
    terminal.expect("\n> ")


def leave(terminal: Terminal) -> None:
    terminal.type(CTRL_C)
    terminal.expect("Ctrl-C again, or Ctrl-D, quits")
    terminal.type(CTRL_D)
    terminal.expect("continue with: ml-intern -r ")
    assert terminal.ended() == 0


def test_a_session_in_plain_mode(start: Callable[..., Terminal], tmp_path: Path) -> None:
    made = [tmp_path / "work" / name for name in ("one", "two")]
    steps = [bash("touch one"), bash("touch two"), SAYS, PLAN, {"text": "Planned."}, bash("sleep 600")]
    terminal = start(*steps, TERM="dumb")
    terminal.expect("(/help shows the commands)")
    terminal.expect("\n> ")
    approve_and_reject(terminal)
    assert [path.exists() for path in made] == [True, False]
    terminal.type("/mode yolo\n")
    terminal.expect("approval: yolo")
    terminal.type("plan it\n")
    terminal.expect("Planned.")
    terminal.expect("\n> ")
    interrupt(terminal)
    undo(terminal)
    assert not made[0].exists()
    leave(terminal)
    assert not CONTROLS.search(terminal.written.decode())
