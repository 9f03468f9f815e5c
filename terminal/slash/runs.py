"""Runs as a person at the terminal sees them: /jobs, the course of a metric in a line, what goes on when one leaves."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ml_intern.terminal.render.summary import one_line
from ml_intern.text.formatting import plural

if TYPE_CHECKING:
    from ml_intern.session.protocol import RunReport, RunRow
    from ml_intern.terminal.slash.host import Host

MAX_NAMED = 5


def left_lines(rows: "Sequence[RunRow]") -> Iterator[str]:
    """What is said of runs that go on when the program ends."""
    if rows:
        named = ", ".join(f"{row.id} ({one_line(row.command, 60)})" for row in rows[:MAX_NAMED])
        more = f" and {len(rows) - MAX_NAMED} more" if len(rows) > MAX_NAMED else ""
        how = "`ml-intern jobs list` shows them, `jobs cancel ID` stops one"
        yield f"{plural(len(rows), 'run')} still running: {named}{more}; {how}"


async def jobs(host: "Host", argument: str) -> None:
    """`/jobs`: the runs of the thread; `/jobs logs ID`: the end of one's log; `/jobs stop ID`: stop it."""
    word, _, id = argument.partition(" ")
    id = id.strip()
    if word not in ("", "logs", "stop") or (word and not id):
        host.screen.line("/jobs, /jobs logs ID or /jobs stop ID", "red")
        return
    if word and (count := len(await host.session.run_ids(id))) > 1:
        host.screen.line(f"{id} is the beginning of {count} ids; write more of it", "red")
        return
    reports = await host.session.check_runs(id, stop=word == "stop", logs=word == "logs")
    for report in reports:
        _show(host, report)
    if not reports:
        host.screen.line("this thread has no such run" if id else "this thread has no runs", "dim")


def _show(host: "Host", report: "RunReport") -> None:
    if report.problem:  # the session goes on; the run is shown as it was seen last
        host.screen.line(f"{report.run.id}: {report.problem}", "red")
    host.screen.line(f"{report.run.id} {one_line(report.run.name or report.run.command, 60)}: {report.status}")
    if report.metric:
        host.screen.line(f"  {report.metric}", "dim")
    if report.log:
        host.screen.line(report.log)


async def leave_runs(host: "Host") -> None:
    """Before the person goes: say which runs go on, and stop them if asked to."""
    rows = await host.session.unfinished_runs()
    if not rows:
        return
    for line in left_lines(rows):
        host.screen.line(line, "yellow")
    try:
        answer = await host.prompt.line("leave them running (Enter), or stop them (s)? ")
    except KeyboardInterrupt:
        answer = None
    if (answer or "").strip().lower() in ("s", "stop"):
        left = await host.session.stop_runs()
        host.screen.line("not all could be stopped; `ml-intern jobs list` shows them" if left else "stopped", "dim")
