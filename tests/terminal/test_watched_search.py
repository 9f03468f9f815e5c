"""`improve status --watch` on a real terminal."""

import shutil
from pathlib import Path

import pytest

from tests.commands.program import Program
from tests.commands.test_improve import SEARCH, commit, fill, learn
from tests.terminal.driver import ESCAPE, Terminal

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="needs bubblewrap")


def test_a_search_is_watched_from_another_process(tmp_path: Path) -> None:
    program = Program(tmp_path)
    fill(program.folder)
    commit(program.folder)
    model = program.script(learn(100), {"text": "Idea: learn half"})
    assert program.run(*SEARCH, "--attempts", "1", "-m", model).returncode == 0
    settings = program.environment["ML_INTERN_CLI_CONFIG"]
    watch = Terminal(
        ["improve", "status", "--watch"], program.folder, program.root / "home", ML_INTERN_CLI_CONFIG=settings
    )
    try:
        watch.expect("1 attempt of 1, 0 running")
        watch.expect("learn half")
        watch.type("\r")
        watch.expect("+a0 0")
        watch.type(ESCAPE)
        watch.expect("1 attempt of 1, 0 running")
        watch.type(ESCAPE)
        assert watch.ended() == 0
    finally:
        watch.close()
    assert program.run("improve", "status", "--watch").returncode == 2
