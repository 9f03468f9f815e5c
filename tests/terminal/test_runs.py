"""Background runs at the terminal: told of, waking the model at the prompt, asked about when one leaves."""

import time
from collections.abc import Callable
from pathlib import Path

from tests.session.conftest import launch
from tests.terminal.driver import Terminal


def test_a_run_that_ends_wakes_the_model_at_the_prompt_and_keeps_what_was_typed(
    start_unasked: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start_unasked(
        launch("echo loss=0.5; echo loss=0.25; sleep 0.5; touch begun; until [ -e go ]; do sleep 0.1; done; exit 3"),
        {"text": "It trains."},
        {"text": "It ended with three."},
        {"text": "You are welcome."},
    )
    terminal.prompt()
    terminal.enter("train")
    terminal.expect("It trains.")
    terminal.prompt()
    while not (tmp_path / "work" / "begun").exists():
        time.sleep(0.05)
    terminal.enter("/jobs")
    assert "running" in terminal.expect("█▁ 0.25")
    terminal.prompt()
    terminal.shows("loss 0.25")
    terminal.type("thank y")
    terminal.expect("thank y")
    (tmp_path / "work" / "go").touch()
    assert "exit code 3" in terminal.expect("It ended with three.")
    terminal.shows("> thank y")
    terminal.enter("ou")
    terminal.expect("You are welcome.")
    terminal.prompt()
    terminal.enter("/exit")
    terminal.expect("continue with")
    assert terminal.ended() == 0


def test_leaving_says_which_runs_go_on_and_stops_them_if_asked(
    start_unasked: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start_unasked(launch("echo $$ > pid; exec sleep 600"), {"text": "It trains."})
    terminal.prompt()
    terminal.enter("train")
    terminal.expect("It trains.")
    terminal.prompt()
    terminal.enter("/exit")
    terminal.expect("1 run still running")
    terminal.expect("(echo $$ > pid; exec sleep 600)")
    terminal.expect("Stay")
    terminal.type("n")
    terminal.prompt()
    terminal.enter("/exit")
    terminal.expect("Stay")
    terminal.type("s")
    terminal.expect("stopped")
    assert terminal.ended() == 0
    assert not Path(f"/proc/{(tmp_path / 'work' / 'pid').read_text().strip()}").exists()


def test_the_beginning_of_two_ids_stops_neither(start_unasked: Callable[..., Terminal]) -> None:
    terminal = start_unasked(launch("exec sleep 600"), launch("exec sleep 601"), {"text": "Both train."})
    terminal.prompt()
    terminal.enter("train")
    terminal.expect("Both train.")
    terminal.prompt()
    terminal.enter("/jobs stop run-")
    terminal.expect("2 ids begin with")
    terminal.prompt()
    terminal.enter("/exit")
    terminal.expect("2 runs still running")
    terminal.expect("Stay")
    terminal.type("s")
    assert terminal.ended() == 0
