"""Check the goal of a thread: evaluate the delivered artifact, or run the command. No edited evaluator meets it."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from ml_intern.evidence.goals import CommandGoal, MetricGoal, parse_goal
from ml_intern.evidence.locks import changed_locks
from ml_intern.evidence.numbers.measured import Measured, measured_in
from ml_intern.evidence.observations import Observations
from ml_intern.evidence.reproduction.plan import NotPossible, plan_evaluation
from ml_intern.evidence.reproduction.run import MAX_SECONDS, Scratch, evaluated, refuse_without_sandbox
from ml_intern.execution.process.command import ProcessCommand, run_command
from ml_intern.execution.process.environment import bash_path
from ml_intern.execution.sandboxed import open_sandbox
from ml_intern.execution.tool import ToolContext
from ml_intern.text.word_table import words

GoalState = Literal["met", "not met", "unknown"]
_CONTROLS: Final = words("conftest.py pytest.ini tox.ini setup.cfg sitecustomize.py pyproject.toml")
"""Files that change what a test run does. `pyproject.toml` does if it configures pytest."""
_GIVEN_UP: Final = re.compile(r"(?im)^\W*goal not met:\s*(.+)$")


@dataclass(frozen=True)
class GoalCheck:
    """The state of a goal and one line of evidence. `unknown` means that it cannot be checked here."""

    goal: str
    state: GoalState
    why: str

    def as_data(self) -> dict[str, Any]:
        """Return the check as JSON."""
        return asdict(self)


def reason_given(answer: str) -> str:
    """Return the reason that an answer gives for a goal that was not met, or ""."""
    found = _GIVEN_UP.search(answer)
    return found[1].strip() if found else ""


async def check_goal(answer: str, seen: Observations, context: ToolContext) -> GoalCheck:
    """Check the goal of the run against what the thread delivers."""
    text = context.options.goal
    goal = parse_goal(text)
    locked, _ = await asyncio.to_thread(changed_locks, seen.locks, seen.workspace)
    if locked:
        return GoalCheck(text, "not met", f"it is not checked while a locked file differs: {locked[0][:200]}")
    if isinstance(goal, CommandGoal):
        return await _of_command(text, goal, seen, context)
    try:
        refuse_without_sandbox(context.options)
    except NotPossible as reason:
        return GoalCheck(text, "unknown", f"a metric {reason}")
    return await _of_metric(text, goal, answer, (seen, context))


async def _of_metric(text: str, goal: MetricGoal, answer: str, of: tuple[Observations, ToolContext]) -> GoalCheck:
    seen, context = of
    names = "\n".join([answer, *(seen.short(path) for path, name in seen.written.items() if name)])
    try:
        evaluation = await asyncio.to_thread(plan_evaluation, names, seen, goal.file)
        found = await evaluated(evaluation, seen, context)
    except NotPossible as reason:
        return GoalCheck(text, "not met", f"the metric could not be computed: {reason}")
    values = _values(goal, measured_in(found.output, evaluation.name))
    if not values:
        return GoalCheck(
            text, "not met", f"{evaluation.name} printed no {goal.averaging} {goal.metric}".replace("  ", " ")
        )
    printed = f"{evaluation.name} gives {values[-1].label} {values[-1].token}"
    met = all(goal.holds(one.value / 100 if one.percent else one.value) for one in values)
    return GoalCheck(text, "met" if met else "not met", printed)


def _values(goal: MetricGoal, measured: Sequence[Measured]) -> list[Measured]:
    """Return the values of the goal's metric: of its averaging, or else those without one."""
    same = [one for one in measured if one.metric == goal.metric]
    exact = [one for one in same if one.averaging == goal.averaging]
    return exact if exact or goal.averaging else same


async def _of_command(text: str, goal: CommandGoal, seen: Observations, context: ToolContext) -> GoalCheck:
    if changed := _changed_controls(seen):
        return GoalCheck(
            text, "not met", f"{changed} was written in this thread and can change what the command checks"
        )
    if context.options.sandbox_missing or context.options.tool_runtime != "local":
        return GoalCheck(text, "unknown", "the command needs the sandbox")
    async with open_sandbox((bash_path(), "-c", goal.command), seen.workspace, context) as prepared:
        scratch = Scratch(context.artifact_path(), context.mark)
        command = ProcessCommand(
            argv=prepared.argv, folder=seen.workspace, environment=prepared.environment, output=scratch.output,
            mark=scratch.mark, timeout=MAX_SECONDS, wrapped=prepared.wrapped,
        )  # fmt: skip
        try:
            finished = await run_command(command, lambda _: None)
            last = await asyncio.to_thread(_last_line, scratch.output)
        except OSError as error:
            return GoalCheck(text, "unknown", f"the command could not run: {error.strerror or error}")
        finally:
            scratch.output.unlink(missing_ok=True)
    if finished.ending != "exited":
        return GoalCheck(text, "not met", f"the command did not end within {MAX_SECONDS:g} s")
    met = finished.exit_code == goal.exit_code
    return GoalCheck(text, "met" if met else "not met", f"the command ended with exit code {finished.exit_code}{last}")


def _changed_controls(seen: Observations) -> str:
    """Return a file written in this thread that changes what tests do, or ""."""
    for path in map(Path, seen.written):
        if path.name in _CONTROLS and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            if path.name != "pyproject.toml" or "tool.pytest" in text:
                return seen.short(path)
    return ""


def _last_line(path: Path) -> str:
    lines = [line for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f": {lines[-1][:200]}" if lines else ""
