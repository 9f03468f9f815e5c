"""The facts about a session in the status line, gathered from its events."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_intern.graph.context import sandbox_words
from ml_intern.terminal.blocks.status import Status
from ml_intern.terminal.blocks.width import cut
from ml_intern.text.metric_names import STEPS

if TYPE_CHECKING:
    from ml_intern.session.protocol import RunRow, Session, Totals

NAME = 16
"""Longest name of a run in the status line, so that its metric has room."""
MAIN = "main"
"""The source of the requests that fill the context window; those of sub-agents fill their own."""


class StatusFacts:
    """Collects the contents of the status line."""

    def __init__(self) -> None:
        self._window: int | None = None
        self._used: int | None = 0
        self._turn = 0
        self._thread = 0
        self._sandbox = ""
        self._folder = ""
        self._branch = ""
        self.jobs: tuple[str, ...] = ()
        """The unfinished runs with their metric."""

    def ready(self, session: "Session", data: Mapping[str, Any]) -> None:
        """Take the event `ready`, which also follows each change of the options."""
        self._window = session.model().window
        self._sandbox = sandbox_words(str(data["sandbox"]))
        workspace = Path(data["cwd"])
        self._folder = workspace.name
        self._branch = branch_of(workspace)

    def usage(self, data: Mapping[str, Any]) -> None:
        """Take the event `usage`."""
        tokens = int(data["input_tokens"]) + int(data["output_tokens"])
        self._turn += tokens
        if data["source"] == MAIN:
            self._used = tokens

    def resumed(self) -> None:
        """Count no tokens of the window: the next request says how many the conversation has."""
        self._used = None

    def turn_began(self) -> None:
        """Count the tokens of a new turn."""
        self._turn = 0

    def spent(self, totals: "Totals") -> None:
        """Take the totals of the thread."""
        self._thread = totals.input_tokens + totals.output_tokens

    def runs(self, rows: "Sequence[RunRow]") -> bool:
        """Take the unfinished runs; return whether that changes the status line."""
        before, self.jobs = self.jobs, tuple(map(run_words, rows))
        return self.jobs != before

    def status(self, *, model: str, mode: str, costs: tuple[str, str], queued: int) -> Status:
        """Return the status line. `costs` are those of the turn and of the thread."""
        return Status(
            model=model, mode=mode, folder=self._folder, branch=self._branch, sandbox=self._sandbox,
            used_tokens=self._used, window=self._window, turn_tokens=self._turn, thread_tokens=self._thread,
            turn_cost=costs[0], thread_cost=costs[1], queued=queued, jobs=self.jobs,
        )  # fmt: skip


def run_words(row: "RunRow") -> str:
    """Return the name of a run, cut if it is long, and the last value of its first metric, such as: sweep loss 0.31.

    A run without a metric has its step instead.
    """
    try:
        metrics = json.loads(row.metrics)
    except ValueError:
        metrics = {}
    ordered = sorted(metrics.items(), key=lambda metric: metric[0] in STEPS)
    named = [f"{name} {value:.4g}" for name, value in ordered if isinstance(value, int | float)]
    return " ".join([cut(row.name or row.id, NAME), *named[:1]])


def branch_of(folder: Path) -> str:
    """Return the git branch of a folder, as its HEAD names it; "" outside a repository or without a branch."""
    for parent in (folder, *folder.parents):
        if (git := parent / ".git").exists():
            head = _read(_git_folder(git) / "HEAD")
            return head.strip().removeprefix("ref: refs/heads/") if head.startswith("ref: ") else ""
    return ""


def _git_folder(git: Path) -> Path:
    """Return the folder that .git is or, in a worktree or a submodule, names."""
    if git.is_dir():
        return git
    return git.parent / _read(git).strip().removeprefix("gitdir: ")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
