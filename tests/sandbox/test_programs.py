"""The programs that a command starts are recorded from outside, whoever starts them."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ml_intern.sandbox.bubblewrap import Kind, sandbox_problem
from ml_intern.sandbox.programs.log import MAX_PROGRAMS, ProgramLog, StartedProgram
from ml_intern.sandbox.spare import end_waiting, wrap_captured
from tests.sandbox.test_spare import BASH, profile_of, until, waiting

pytestmark = pytest.mark.skipif(sandbox_problem() is not None, reason=f"no sandbox here: {sandbox_problem()}")
SLEEP = shutil.which("sleep") or "sleep"


def started(command: str, workspace: Path, kind: Kind) -> tuple[ProgramLog, list[StartedProgram]]:
    """Run a command and return its log and what it started."""
    argv = (BASH, "-c", command)
    with wrap_captured(argv, replace(profile_of(workspace, kind=kind), programs=True), "", BASH) as wrapped:
        assert wrapped.programs is not None
        process = wrapped.start_captured(
            on_end=lambda: None, environment=wrapped.environment, folder=str(workspace)
        ).process
        process.wait(120)
    return wrapped.programs, wrapped.programs.after(argv)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "ws" / "inner").mkdir(parents=True)
    return tmp_path / "ws"


@pytest.mark.parametrize("kind", ["bubblewrap", "basic"])
def test_every_program_is_recorded_with_its_words_and_folder(kind: Kind, workspace: Path) -> None:
    (workspace / "run.sh").write_text("#!/bin/sh\ncd inner && exec env A=1 expr 20 + 22\n")
    _, found = started("missing-program; sh run.sh; (sleep 0 &); eval expr 1 + 1", workspace, kind)
    named = {(Path(one.path).name, one.words[1:], one.folder) for one in found}
    inner = str(workspace / "inner")
    assert {
        ("sh", ("run.sh",), str(workspace)),
        ("env", ("A=1", "expr", "20", "+", "22"), inner),
        ("expr", ("20", "+", "22"), inner),
        ("expr", ("1", "+", "1"), str(workspace)),
    } <= named
    assert "missing-program" not in str(found)


def test_a_sandbox_that_waited_reports_only_the_programs_of_its_command(workspace: Path) -> None:
    try:
        for number in ("11", "12", "13"):
            _, found = started(f"expr {number}", workspace, "bubblewrap")
            until(lambda: waiting(profile_of(workspace)))
            assert [one.words for one in found] == [("expr", number)]
    finally:
        end_waiting()


def test_more_programs_than_are_recorded_are_named_as_missing(workspace: Path) -> None:
    log, found = started(f"for i in {{1..{MAX_PROGRAMS}}}; do {SLEEP} 0; done; echo done > end", workspace, "basic")
    assert len(found) < MAX_PROGRAMS
    assert "more than" in log.missed
    assert (workspace / "end").read_text() == "done\n"
