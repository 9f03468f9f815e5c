"""`threads list --watch` on a real terminal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.program import Program
from tests.terminal.driver import ESCAPE, Terminal

DOWN = "\x1b[B"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def watch(program: Program) -> Iterator[Terminal]:
    """The roster of a thread that waits and one that is done, the second used last."""
    asks = {"tool_calls": [{"name": "bash", "args": {"command": "touch made"}}]}
    model = program.script(asks, {"text": "Made."}, {"text": "What next?"})
    assert program.run("--no-sandbox", "-m", model, "--approval-mode", "ask", "make a file").returncode == 3
    assert program.run("--no-sandbox", "-m", program.script({"text": "Hi."}, name="b.yaml"), "say hi").returncode == 0
    settings = program.environment["ML_INTERN_CLI_CONFIG"]
    terminal = Terminal(
        ["threads", "list", "--watch"], program.folder, program.root / "home", ML_INTERN_CLI_CONFIG=settings
    )
    yield terminal
    terminal.close()


def test_the_roster_shows_states_and_questions(watch: Terminal) -> None:
    watch.expect("2 threads, 0 running, 1 waiting for you")
    watch.expect("idle")
    watch.expect("say hi")
    watch.expect("waiting")
    watch.expect("make a file")
    watch.expect("bash touch made")
    watch.type(ESCAPE)
    assert watch.ended() == 0


def test_enter_opens_a_resting_thread_and_its_question(watch: Terminal, program: Program) -> None:
    watch.expect("bash touch made")
    watch.type(DOWN)
    watch.type("\r")
    watch.expect("resumed 'make a file'")
    watch.expect("touch made")
    watch.expect("View all of it")
    watch.type("y\r")
    watch.expect("Made.")
    watch.prompt()
    watch.enter("/exit")
    assert watch.ended() == 0
    assert (program.folder / "made").exists()


def test_a_pipe_gets_an_error_and_the_other_way(program: Program) -> None:
    done = program.run("threads", "list", "--watch")
    assert done.returncode == 2
    assert "--watch needs a terminal" in done.stderr
    assert program.run("threads", "list", "--watch", "--json").returncode == 2
