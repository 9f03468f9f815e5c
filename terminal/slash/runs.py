"""/jobs, and the question about unfinished runs when the user leaves."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ml_intern.terminal.render.summary import one_line
from ml_intern.terminal.views.choice import ChoiceView, ListChoice
from ml_intern.terminal.views.outcome import CANCELLED, Cancelled, Chosen
from ml_intern.text.formatting import listed, plural

if TYPE_CHECKING:
    from ml_intern.session.protocol import RunReport, RunRow
    from ml_intern.terminal.slash.host import Host

MAX_NAMED = 5


def left_lines(rows: "Sequence[RunRow]") -> Iterator[str]:
    """Yield a line about runs that continue when ml-intern exits; nothing if there are none."""
    if rows:
        yield f"{_still_running(rows)}; `ml-intern jobs list` lists runs, `ml-intern jobs cancel ID` stops one"


def _still_running(rows: "Sequence[RunRow]") -> str:
    named = listed([f"{row.id} ({one_line(row.name or row.command, 60)})" for row in rows], MAX_NAMED)
    return f"{plural(len(rows), 'run')} still running: {named}"


async def jobs(host: "Host", argument: str) -> None:
    """List the runs of the thread, show the end of a run's log, or stop a run."""
    word, _, id = argument.partition(" ")
    id = id.strip()
    if word not in ("", "logs", "stop") or (word and not id):
        host.screen.line("usage: /jobs [logs ID|stop ID]", "failure")
        return
    if word and (count := len(await host.session.runs.ids(id))) > 1:
        host.screen.line(f"{plural(count, 'id')} begin with {id}; type more of it", "failure")
        return
    reports = await host.session.runs.check(id, stop=word == "stop", logs=word == "logs")
    for report in reports:
        _show(host, report)
    if not reports:
        host.screen.line(f"this thread has no run {id}" if id else "this thread has no runs", "dim")


def _show(host: "Host", report: "RunReport") -> None:
    if report.problem:  # the session continues, and the run is shown in its last known state
        host.screen.line(f"{report.run.id}: {report.problem}", "failure")
    host.screen.line(f"{report.run.id} {one_line(report.run.name or report.run.command, 60)}: {report.status}")
    if report.metric:
        host.screen.line(f"  {report.metric}", "dim")
    if report.log:
        host.screen.line(report.log)


class LeaveView(ChoiceView[str]):
    """The question about runs when the user leaves. Ctrl-C and Ctrl-D leave, Esc stays."""

    def __init__(self, rows: "Sequence[RunRow]") -> None:
        runs = "it" if len(rows) == 1 else "them"
        leave = ListChoice("leave", f"Leave, and let {runs} run", "l")
        stop = ListChoice("stop", f"Stop {runs}, and leave", "s")
        super().__init__([leave, stop, ListChoice("stay", "Stay", "n")], title=[_still_running(rows)])

    def handle(self, key: str) -> Chosen[str] | Cancelled | None:
        """Take a key."""
        return Chosen("leave") if key in ("c-c", "c-d") else super().handle(key)


async def leave_runs(host: "Host") -> bool:
    """Ask what becomes of unfinished runs when the user leaves, or whether to stay. Return whether it asked."""
    if host.session.attached:  # they belong to the process that runs the thread
        return False
    rows = await host.session.runs.unfinished()
    if not rows:
        return False
    outcome = await host.choose(LeaveView(rows))
    if outcome in (CANCELLED, Chosen("stay")):
        host.leaving = False
    elif outcome == Chosen("stop"):
        left = await host.session.runs.stop()
        host.screen.line(
            f"could not stop {plural(len(left), 'run')}; `ml-intern jobs list` shows them" if left else "stopped", "dim"
        )
    else:
        for line in left_lines(rows):
            host.screen.line(line, "warning")
    return True
