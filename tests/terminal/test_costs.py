"""The line at the end of a turn, the picker and /cost show the same amount, from the ledger.

The toolbar shows it too, but the terminal of these tests draws none.
"""

from collections.abc import Callable
from pathlib import Path

import yaml

from tests.terminal.conftest import bash
from tests.terminal.driver import CTRL_D, Terminal

PAID = {"usage": {"input_tokens": 3, "output_tokens": 2, "cost_usd": 0.00002}}


def test_all_places_agree_on_a_small_cost_and_after_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "s.yaml").write_text(yaml.safe_dump([{"text": text, **PAID} for text in ("one", "two", "three")]))
    options = ["--no-sandbox", "-m", "scripted:s.yaml"]
    terminal = Terminal(options, folder, tmp_path / "home")
    try:
        terminal.prompt()
        for message in ("first", "second"):
            terminal.enter(message)
            terminal.expect("3 in, 2 out, $0.00002")
            terminal.prompt()
        terminal.enter("/cost")
        terminal.expect("2 requests, $0.00004")
        terminal.prompt()
        terminal.type(CTRL_D)
        assert terminal.ended() == 0
    finally:
        terminal.close()
    again = Terminal([*options, "-r"], folder, tmp_path / "home")
    try:
        again.expect("Continue which thread?")
        again.shows("$0.00004")
        again.type("\r")
        again.prompt()
        again.enter("/cost")
        again.expect("2 requests, $0.00004")
        again.prompt()
        again.enter("third")
        again.expect("3 in, 2 out, $0.00002")
        again.prompt()
        again.type(CTRL_D)
        assert again.ended() == 0
    finally:
        again.close()


def test_the_cost_counts_during_a_turn_and_in_a_turn_that_a_later_session_ends(start: Callable[..., Terminal]) -> None:
    terminal = start({**bash("touch a"), **PAID}, {"text": "done", **PAID})
    terminal.prompt()
    terminal.enter("go")
    terminal.shows("View all of it")
    terminal.shows("turn 5 $0.00002")
    terminal.process.kill()
    again = start(options=("-c",))
    again.shows("View all of it")
    again.type("y\r")
    again.expect("3 in, 2 out, $0.00002")
    again.prompt()
    again.type(CTRL_D)
    assert again.ended() == 0
