"""The user's goal for a thread: a metric of the delivered artifact, or the exit code of a command."""

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt
from pathlib import Path
from typing import Final

from ml_intern.configs.errors import UsageError
from ml_intern.evidence.numbers.names import averaging, metrics_in, plain

FORMS: Final = '"METRIC >= NUMBER [on FILE]", such as "macro F1 >= 0.80 on data/test.csv", or "exit 0: COMMAND"'
_METRIC: Final = re.compile(
    r"(?P<name>[A-Za-z][\w @/-]*?)\s*(?P<relation>>=|<=|==|>|<)\s*(?P<value>\d+(?:\.\d+)?|\.\d+)(?P<percent>\s?%)?"
    r"(?:\s+on\s+(?P<file>\S+))?"
)
_COMMAND: Final = re.compile(r"exit (?P<code>\d{1,3}):\s*(?P<command>\S.*)", re.DOTALL)
_TEST_FILES: Final = ("test_*.py", "*_test.py", "conftest.py")
_MAX_FILES: Final = 300
_RELATIONS: Final = {">=": ge, "<=": le, ">": gt, "<": lt, "==": eq}


@dataclass(frozen=True)
class MetricGoal:
    """A bound on a metric of the delivered artifact. `file` is the test data, or ""."""

    metric: str
    averaging: str
    relation: str
    value: float
    file: str = ""

    def holds(self, value: float) -> bool:
        """Return whether a measured value meets the goal."""
        return bool(_RELATIONS[self.relation](value, self.value))


@dataclass(frozen=True)
class CommandGoal:
    """The exit code that a command must have."""

    exit_code: int
    command: str


Goal = MetricGoal | CommandGoal


def parse_goal(text: str) -> Goal:
    """Return the goal that a text states. Raises UsageError with the forms that are understood."""
    text = text.strip()
    if found := _COMMAND.fullmatch(text):
        return CommandGoal(int(found["code"]), found["command"])
    found = _METRIC.fullmatch(text)
    name = plain(found["name"]) if found else ""
    metrics = {one.metric for one in metrics_in(name)}
    if found is None or len(metrics) != 1:
        why = "is not a goal" if found is None else "does not name one known metric"
        raise UsageError(f"{text[:100]!r} {why}", f"write {FORMS}")
    value = float(found["value"]) / (100 if found["percent"] else 1)
    return MetricGoal(metrics.pop(), averaging(name), found["relation"], value, found["file"] or "")


def goal_prompt(text: str) -> str:
    """Return the part of the system prompt about the goal."""
    return (
        f"The goal of this thread is: {text}\nml-intern checks it itself whenever you end your turn: a metric by "
        "evaluating the artifact that your answer names, a command by its exit code. Files that the goal names are "
        "locked. The turn continues until the goal is met. If it cannot be met, end your answer with a line that "
        'begins with "Goal not met:" and states why.'
    )


def goal_files(text: str, workspace: Path) -> list[str]:
    """Return the existing files that a goal depends on, relative to the workspace. They are locked."""
    goal = parse_goal(text)
    if isinstance(goal, MetricGoal):
        return [goal.file] if goal.file and (workspace / goal.file).is_file() else []
    try:
        words = shlex.split(goal.command)
    except ValueError:
        words = goal.command.split()
    named = [word for word in words if (workspace / word).is_file()]
    return [*named, *(_tests(workspace) if any("pytest" in word or "unittest" in word for word in words) else [])]


def _tests(workspace: Path) -> Iterable[str]:
    found = (path for pattern in _TEST_FILES for path in workspace.rglob(pattern))
    inside = (path.relative_to(workspace) for path in found)
    return [str(path) for path in inside if not any(part.startswith(".") for part in path.parts)][:_MAX_FILES]
