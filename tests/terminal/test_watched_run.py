"""A headless run on a real terminal: its progress, -i, and Esc."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.terminal.conftest import bash
from tests.terminal.driver import ESCAPE, Terminal


def test_a_run_with_a_prompt_is_not_blind(start: Callable[..., Terminal], tmp_path: Path) -> None:
    wait = "until [ -e go ]; do sleep 0.1; done"
    terminal = start(bash(f"echo alpha; {wait}; echo omega"), {"text": "The answer."}, options=("do it",))
    terminal.expect("approves its own calls (mode auto); to be asked instead, use ml-intern -i")
    terminal.expect("  alpha")
    (tmp_path / "work" / "go").touch()
    terminal.expect("exit code 0")
    terminal.expect("  omega")
    terminal.expect("The answer.")
    assert terminal.ended() == 0


def test_a_prompt_with_i_opens_a_session_that_asks(start: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = start(bash("touch made"), {"text": "Done."}, {"text": "Again."}, options=("-i", "make it"))
    terminal.expect("make it")
    terminal.expect("touch made")
    assert not (tmp_path / "work" / "made").exists()
    terminal.expect("View all of it")
    terminal.type("y\r")
    terminal.expect("Done.")
    terminal.prompt()
    terminal.enter("more")
    terminal.expect("Again.")
    terminal.prompt()
    terminal.enter("/exit")
    assert terminal.ended() == 0


def test_escape_offers_to_continue_interactively(start: Callable[..., Terminal]) -> None:
    terminal = start(bash("echo alpha; sleep 100"), {"text": "From here on."}, options=("do it",))
    terminal.expect("  alpha")
    terminal.type(ESCAPE)
    terminal.expect("i: continue interactively")
    terminal.type("x")
    terminal.expect("Esc: take over")
    terminal.type(ESCAPE)
    terminal.expect("i: continue interactively")
    terminal.type("i")
    terminal.expect("resumed 'do it', 1 turn")
    terminal.prompt()
    terminal.enter("what now?")
    terminal.expect("From here on.")
    terminal.prompt()
    terminal.enter("/exit")
    assert terminal.ended() == 0


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"ML_INTERN_TERMINAL_PLAIN": "true"}])
def test_a_dumb_terminal_and_plain_mode_get_plain_lines(
    start: Callable[..., Terminal], environment: dict[str, str]
) -> None:
    terminal = start(bash("echo alpha"), {"text": "The answer."}, options=("do it",), **environment)
    terminal.expect("approval auto")
    terminal.expect("+ bash echo alpha")
    terminal.expect("The answer.")
    assert terminal.ended() == 0
