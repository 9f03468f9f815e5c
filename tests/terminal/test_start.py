"""The start: the first prompt waits for none of the packages that a session needs."""

import subprocess
import sys
from pathlib import Path

from ml_intern.store.runs import RunRow
from ml_intern.terminal.display.facts import branch_of, run_words

LATER = ("langgraph", "langchain_core", "litellm", "pydantic", "huggingface_hub", "httpx", "markdown_it", "pygments")


def test_the_first_prompt_needs_none_of_the_packages_of_a_session() -> None:
    code = f"import sys, ml_intern.commands.running.interactive; print([m for m in {LATER!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PRESS_CTRL_C = """
import os, signal, sys

class CtrlC:
    def find_spec(self, name, *rest):
        if name == "ml_intern.commands.running.interactive":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a shell ignores it
sys.meta_path.insert(0, CtrlC())
from ml_intern.commands.options import Options
from ml_intern.commands.running.entry import run_with_person
sys.exit(run_with_person(Options()))
"""


def test_ctrl_c_while_the_program_loads_says_that_nothing_was_changed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRESS_CTRL_C], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr == "ml-intern: interrupted while the session was starting; nothing was changed\n"


def test_the_branch_is_that_of_the_repository_around_the_folder(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/topic/x\n")
    assert branch_of(inner) == "topic/x"
    (tmp_path / ".git" / "HEAD").write_text("0123abcd\n")
    assert branch_of(inner) == ""


def test_the_branch_of_a_worktree_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "main" / ".git" / "worktrees" / "tree").mkdir(parents=True)
    (tmp_path / "main" / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / "main" / ".git" / "worktrees" / "tree" / "HEAD").write_text("ref: refs/heads/topic\n")
    tree = tmp_path / "main" / "tree"
    tree.mkdir()
    for named in (str(tmp_path / "main" / ".git" / "worktrees" / "tree"), "../.git/worktrees/tree"):
        (tree / ".git").write_text(f"gitdir: {named}\n")
        assert branch_of(tree) == "topic"


def test_the_status_line_shows_what_a_run_measures_rather_than_how_far_it_is() -> None:
    assert run_words(RunRow("r", "t", "python", name="long", metrics='{"step": 3, "loss": 0.5}')) == "long loss 0.5"
    assert run_words(RunRow("r", "t", "python", name="long", metrics='{"step": 3}')) == "long step 3"
    named = RunRow("r", "t", "python", name="a-training-run-with-a-long-name", metrics='{"loss": 0.5}')
    assert run_words(named) == "a-training-run-… loss 0.5"
