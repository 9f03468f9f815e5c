"""Describe runs: one line for lists, a report for the model when a run ended."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ml_intern.execution.call import ToolResult
from ml_intern.execution.run_sources import read_run_sources
from ml_intern.runs.backends.registry import backend_spec
from ml_intern.runs.metrics import Series, series_of
from ml_intern.safety.shell.analysis import analyze_command
from ml_intern.safety.shell.outward import inward_sources
from ml_intern.safety.shell.paths import CommandContext
from ml_intern.store.runs import Notice, RunRow
from ml_intern.text.formatting import and_more, duration, money

MAX_METRICS = 12


def ended_line(row: RunRow) -> str:
    """Describe the end of a run in one line."""
    return "; ".join(filter(None, [_outcome(row), row.reason, _took(row), _price(row), metrics_line(row)]))


def standing_line(row: RunRow) -> str:
    """Describe the status of a run in one line."""
    if not row.open:
        return f"{row.state}: {ended_line(row)}"
    limit = f"limit {duration(row.limit_s)}" if row.limit_s else ""
    return ", ".join(filter(None, [row.state, row.reason, _took(row), limit, metrics_line(row)]))


def report(row: RunRow) -> str:
    """Return the report for the model about a run that ended."""
    lines = [f"Background run {row.id} ({row.command}) ended: {row.state}; {ended_line(row)}."]
    lines += [f"End of its log ({row.log}):\n{row.tail.rstrip()}"] if row.tail.strip() else ["It printed nothing."]
    return "\n".join(lines)


def notice_text(row: RunRow, notice: Notice) -> str:
    """Return the report for the model about a condition that a run met."""
    state = standing_line(row)
    return (
        f"Background run {row.id} ({row.command}) met the condition {notice.condition!r}: {notice.text}\n"
        f"The run is {state}. Its log: {row.log}. Set the condition again with notify if needed."
    )


def started_text(row: RunRow) -> ToolResult:
    """Return the tool result for a run that was started. The report of its end is a message of its own, sent once."""
    if not row.open:
        text = f"{row.id} has already ended ({row.state}); its report follows."
        return ToolResult(text, row.state == "succeeded", "done" if row.state == "succeeded" else "failed")
    limit = f", for at most {duration(row.limit_s)}" if row.limit_s else ""
    where = f" on {row.hardware}" if row.hardware else ""
    return ToolResult(
        f"{row.id} runs in the background{where}{limit}. Log: {row.log}\n{_git_note(row)}"
        "You may end your turn. You will be notified when the run ends."
    )


def sweep_text(rows: Sequence[RunRow]) -> ToolResult:
    """Return the tool result for the runs of a sweep that were started."""
    failed = [row for row in rows if row.state == "failed"]
    lines = [f"{row.id} {row.name}: {standing_line(row)}" for row in rows]
    lines.append("You may end your turn. You will be notified when all have ended.")
    return ToolResult("\n".join(lines), len(failed) < len(rows), "failed" if len(failed) == len(rows) else "done")


def _git_note(row: RunRow) -> str:
    """Warn the user about git while a command on this machine can still create repositories."""
    if row.backend != "local":
        return ""
    return (
        "Until it ends, the user should not run git in repositories that it creates: git runs programs named there. "
        "ml-intern removes such settings when it ends.\n"
    )


def metrics_line(row: RunRow) -> str:
    """Format the last value of each metric."""
    found = list(json.loads(row.metrics).items())
    shown = [f"{name} {_short(value)}" for name, value in found[:MAX_METRICS]]
    return ", ".join(filter(None, [*shown, and_more(len(found), MAX_METRICS)]))


def _outcome(row: RunRow) -> str:
    if row.exit_code is None:
        return "" if row.reason else "outcome unknown; it may have run in part"
    return f"exit code {row.exit_code}" if row.exit_code >= 0 else f"killed by signal {-row.exit_code}"


def _took(row: RunRow) -> str:
    if row.started is None:
        return "not started" if row.open else ""
    seconds = (row.finished or time.time()) - row.started
    return f"{'ran' if row.finished else 'running for'} {duration(max(seconds, 0.0))}"


def _price(row: RunRow) -> str:
    if row.ledger_id is None:
        return ""
    return money(None) if row.cost_usd is None else f"cost {money(row.cost_usd)}"


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


async def sources_of(row: RunRow) -> tuple[str, ...]:
    """Return the outside sources of a run's log."""
    return await asyncio.to_thread(_sources_of, row)


def _sources_of(row: RunRow) -> tuple[str, ...]:
    """Return the outside sources of a run's log: any for a remote run or an agent, else what it read or reached."""
    spec = backend_spec(row.backend)
    if spec.is_remote or spec.is_agent:
        return (f"the {row.backend} run {row.id}",)
    parsed = analyze_command(row.command, CommandContext(row.folder or "/", home=str(Path.home()))).parsed
    named = inward_sources(parsed) if parsed else ()
    return tuple(dict.fromkeys((*named, *read_run_sources(Path(row.log).parent).read)))


@dataclass(frozen=True)
class RunSeries:
    """A run with its status in one line, and the points (step, value) of its metrics, the main one first."""

    run: RunRow
    status: str
    points: Mapping[str, Sequence[tuple[float, float]]]


def run_series(row: RunRow) -> RunSeries:
    """Return a run with the points of its metrics, read from its log or its tracker."""
    series = series_of(Path(row.log)) if row.log else Series()
    names = dict.fromkeys(filter(None, (series.main(), *series.points)))
    return RunSeries(row, standing_line(row), {name: series.points[name] for name in names})
