"""Background runs at the terminal: told of, waking the model at the prompt, asked about when one leaves."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.session.conftest import launch
from tests.terminal.driver import Terminal


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []
    (tmp_path / "work").mkdir()

    def start(*steps: dict[str, Any]) -> Terminal:
        (tmp_path / "script.yaml").write_text(yaml.safe_dump(list(steps)))
        options = ["--no-sandbox", "--yolo", "-m", f"scripted:{tmp_path / 'script.yaml'}"]
        opened.append(Terminal(options, tmp_path / "work", tmp_path / "home"))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def test_a_run_that_ends_wakes_the_model_at_the_prompt_and_keeps_what_was_typed(
    start: Callable[..., Terminal], tmp_path: Path
) -> None:
    terminal = start(
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
    terminal.type("thank y")
    terminal.expect("thank y")
    (tmp_path / "work" / "go").touch()
    assert "exit code 3" in terminal.expect("It ended with three.")
    terminal.expect("thank y")
    terminal.enter("ou")
    terminal.expect("You are welcome.")
    terminal.prompt()
    terminal.enter("/exit")
    terminal.expect("continue with")
    assert terminal.ended() == 0


def test_leaving_says_which_runs_go_on_and_stops_them_if_asked(start: Callable[..., Terminal], tmp_path: Path) -> None:
    terminal = start(launch("echo $$ > pid; exec sleep 600"), {"text": "It trains."})
    terminal.prompt()
    terminal.enter("train")
    terminal.expect("It trains.")
    terminal.prompt()
    terminal.enter("/exit")
    terminal.expect("1 run still running")
    terminal.expect("s stop them:")
    terminal.enter("s")
    terminal.expect("stopped")
    assert terminal.ended() == 0
    assert not Path(f"/proc/{(tmp_path / 'work' / 'pid').read_text().strip()}").exists()


def test_the_beginning_of_two_ids_stops_neither(start: Callable[..., Terminal]) -> None:
    terminal = start(launch("exec sleep 600"), launch("exec sleep 601"), {"text": "Both train."})
    terminal.prompt()
    terminal.enter("train")
    terminal.expect("Both train.")
    terminal.prompt()
    terminal.enter("/jobs stop run-")
    terminal.expect("2 ids begin with")
    terminal.prompt()
    terminal.enter("/exit")
    terminal.expect("2 runs still running")
    terminal.expect("s stop them:")
    terminal.enter("s")
    assert terminal.ended() == 0
