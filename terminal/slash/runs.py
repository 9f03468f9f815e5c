"""/jobs, and the question about unfinished runs when the user leaves."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ml_intern.terminal.render.summary import one_line
from ml_intern.text.formatting import listed, plural

if TYPE_CHECKING:
    from ml_intern.session.protocol import RunReport, RunRow
    from ml_intern.terminal.slash.host import Host

MAX_NAMED = 5


def left_lines(rows: "Sequence[RunRow]") -> Iterator[str]:
    """Yield a line about runs that continue when ml-intern exits; nothing if there are none."""
    if rows:
        named = listed([f"{row.id} ({one_line(row.command, 60)})" for row in rows], MAX_NAMED)
        how = "`ml-intern jobs list` shows them, `jobs cancel ID` stops one"
        yield f"{plural(len(rows), 'run')} still running: {named}; {how}"


async def jobs(host: "Host", argument: str) -> None:
    """List the runs of the thread, show the end of a run's log, or stop a run."""
    word, _, id = argument.partition(" ")
    id = id.strip()
    if word not in ("", "logs", "stop") or (word and not id):
        host.screen.line("usage: /jobs [logs ID|stop ID]", "red")
        return
    if word and (count := len(await host.session.runs.ids(id))) > 1:
        host.screen.line(f"{plural(count, 'id')} begin with {id}; type more of it", "red")
        return
    reports = await host.session.runs.check(id, stop=word == "stop", logs=word == "logs")
    for report in reports:
        _show(host, report)
    if not reports:
        host.screen.line(f"this thread has no run {id}" if id else "this thread has no runs", "dim")


def _show(host: "Host", report: "RunReport") -> None:
    if report.problem:  # the session continues, and the run is shown in its last known state
        host.screen.line(f"{report.run.id}: {report.problem}", "red")
    host.screen.line(f"{report.run.id} {one_line(report.run.name or report.run.command, 60)}: {report.status}")
    if report.metric:
        host.screen.line(f"  {report.metric}", "dim")
    if report.log:
        host.screen.line(report.log)


async def leave_runs(host: "Host") -> None:
    """List the unfinished runs when the user leaves, and stop them on request."""
    rows = await host.session.runs.unfinished()
    if not rows:
        return
    for line in left_lines(rows):
        host.screen.line(line, "yellow")
    try:
        answer = await host.prompt.line("Enter leave them running  s stop them: ")
    except KeyboardInterrupt:
        answer = None
    if (answer or "").strip().lower() in ("s", "stop"):
        left = await host.session.runs.stop()
        host.screen.line(
            f"could not stop {plural(len(left), 'run')}; `ml-intern jobs list` shows them" if left else "stopped", "dim"
        )
