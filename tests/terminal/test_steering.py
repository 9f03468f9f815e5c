"""The input line during a turn: what is typed waits or stays, whatever ends the turn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.terminal.conftest import bash
from tests.terminal.driver import CTRL_C, CTRL_D, CTRL_S, ESCAPE, Terminal

UP = "\x1b[A"
ALT_ENTER = "\x1b\r"
PASTE = "\x1b[200~{}\x1b[201~"


def waiting(name: str = "go") -> dict[str, Any]:
    """A call that runs until the file is there."""
    return {"tool_calls": [{"name": "bash", "args": {"command": f"until [ -e {name} ]; do sleep 0.1; done"}}]}


def test_lines_entered_during_a_turn_wait_in_order_and_the_last_comes_back(
    start_unasked: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start_unasked(waiting(), {"text": "First done."}, {"text": "Second done."}, {"text": "Third done."})
    terminal.prompt()
    terminal.enter("first")
    terminal.expect("running")
    terminal.enter("second")
    terminal.shows("queued: second")
    terminal.enter("thrid")
    terminal.shows("queued: thrid")
    terminal.type(UP)
    terminal.shows("> thrid")
    terminal.type("\x15third\r")
    terminal.shows("queued: third")
    terminal.type("a draft")
    (tmp_path / "work" / "go").touch()
    for text in ("First done.", "> second", "Second done.", "> third", "Third done."):
        terminal.expect(text)
    terminal.prompt()
    terminal.shows("> a draft")
    terminal.type(f"{CTRL_C}{CTRL_D}")
    assert terminal.ended() == 0


@pytest.mark.parametrize("key", [ESCAPE, CTRL_C])
def test_an_interrupt_keeps_what_was_typed_and_what_waits(start_unasked: Callable[..., Terminal], key: str) -> None:
    terminal = start_unasked(waiting(), {"text": "Now second."}, {"text": "Then third."})
    terminal.prompt()
    terminal.enter("first")
    terminal.expect("running")
    terminal.enter("second")
    terminal.type("a draft")
    terminal.shows("> a draft")
    terminal.type(key)
    terminal.expect("may have run in part: bash")
    terminal.shows("queued: second")
    terminal.shows("> a draft")
    terminal.shows("queue paused")
    terminal.type("\x15third\r")
    for text in ("> second", "Now second.", "> third", "Then third."):
        terminal.expect(text)


def test_what_is_typed_before_the_session_is_open_is_sent_then(start_unasked: Callable[..., Terminal]) -> None:
    terminal = start_unasked({"text": "Hello to you."})
    terminal.expect("starting")
    terminal.enter("hello")
    terminal.type("more")
    terminal.expect("Hello to you.")
    terminal.shows("> more")


def test_a_long_paste_is_one_token_and_is_sent_whole(start_unasked: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = start_unasked({"text": "Read."})
    terminal.prompt()
    pasted = "\n".join(f"line {number}" for number in range(500))
    terminal.type(f"look: {PASTE.format(pasted)}")
    terminal.shows("> look: [pasted #1: 500 lines]")
    terminal.type("\r")
    terminal.expect("Read.")
    terminal.prompt()
    terminal.enter("/export out.md")
    terminal.expect("wrote ")
    assert pasted in (tmp_path / "work" / "out.md").read_text()


def test_alt_enter_starts_a_new_line(start_unasked: Callable[..., Terminal]) -> None:
    terminal = start_unasked({"text": "Read."})
    terminal.prompt()
    terminal.type(f"one{ALT_ENTER}two")
    terminal.shows("  two")
    terminal.type("\r")
    terminal.expect("Read.")


def test_a_message_that_waits_survives_a_kill(start_unasked: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = start_unasked(waiting(), {"text": "First done."}, {"text": "Second done."})
    terminal.prompt()
    terminal.enter("first")
    terminal.expect("running")
    terminal.enter("second")
    terminal.shows("queued: second")
    terminal.process.kill()
    terminal.process.wait()
    (tmp_path / "work" / "go").touch()
    again = Terminal(["--no-sandbox", "--yolo", "-c"], tmp_path / "work", tmp_path / "home")
    try:
        again.expect("> second")
        again.expect("Second done.")
    finally:
        again.close()


def test_a_message_sent_now_reaches_the_model_before_its_next_call(
    start_unasked: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start_unasked(waiting(), {"text": "I changed course."}, {"text": "Then the other."})
    terminal.prompt()
    terminal.enter("first")
    terminal.expect("running")
    terminal.enter("other")
    terminal.shows("queued: other")
    terminal.type(f"turn left{CTRL_S}")
    terminal.shows("before the next model call: turn left")
    (tmp_path / "work" / "go").touch()
    for text in ("> turn left", "I changed course.", "> other", "Then the other."):
        terminal.expect(text)


def test_a_lost_connection_leaves_a_turn_that_can_be_continued(
    start_unasked: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start_unasked(waiting(), {"text": "First done.", "expect": "interrupted"})
    terminal.prompt()
    terminal.enter("first")
    terminal.expect("running")
    assert terminal.hang_up() == 143
    again = Terminal(["--no-sandbox", "--yolo", "-c"], tmp_path / "work", tmp_path / "home")
    try:
        again.expect("may have run in part: bash")
        again.expect("First done.")
    finally:
        again.close()


def test_a_message_entered_before_the_program_has_started_is_sent(start: Callable[..., Terminal]) -> None:
    terminal = start({"text": "The answer to it."})
    terminal.enter("typed ahead")
    assert "> typed ahead" in terminal.expect("The answer to it.")
    terminal.prompt()


def test_enter_continues_a_turn_that_was_interrupted_also_after_a_resume(
    start_unasked: Callable[..., Terminal],
) -> None:
    steps = (bash("echo one; sleep 600"), bash("echo two; sleep 600"), {"text": "All done."})
    terminal = start_unasked(*steps)
    terminal.prompt()
    terminal.enter("work")
    terminal.expect("one")
    terminal.type(ESCAPE)
    terminal.shows("Enter continues the turn")
    terminal.enter("")
    terminal.expect("two")
    terminal.type(ESCAPE)
    terminal.shows("Enter continues the turn")
    terminal.type(CTRL_D)
    assert terminal.ended() == 0
    again = start_unasked(options=("-c",))
    again.expect("resumed 'work', 1 turn; the last one was interrupted")
    again.shows("Enter continues the turn")
    again.enter("")
    assert "> \n" not in again.expect("All done.")
    again.prompt()
