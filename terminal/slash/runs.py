"""Runs as a person at the terminal sees them: /jobs, the course of a metric in a line, what goes on when one leaves."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml_intern.configs.errors import MLInternError
from ml_intern.runs.logs import last_lines
from ml_intern.terminal.render.summary import one_line

if TYPE_CHECKING:
    from ml_intern.store.runs import RunRow
    from ml_intern.terminal.slash.host import Host

MAX_NAMED = 5
LOG_LINES, LOG_CHARACTERS = 20, 4_000


def left_lines(rows: "Sequence[RunRow]") -> Iterator[str]:
    """What is said of runs that go on when the program ends."""
    if rows:
        named = ", ".join(f"{row.id} ({one_line(row.command, 60)})" for row in rows[:MAX_NAMED])
        more = f" and {len(rows) - MAX_NAMED} more" if len(rows) > MAX_NAMED else ""
        yield f"{len(rows)} run(s) go on: {named}{more}; `ml-intern jobs list` shows them, `jobs cancel ID` stops one"


def course_line(row: "RunRow") -> str:
    """The course of its main metric; "" when it printed none. Reads the log."""
    from ml_intern.runs.metrics import series_of, sparkline
    from ml_intern.runs.run_folder import TRACKIO

    log = Path(row.log)
    series = series_of(log, log.parent / TRACKIO)
    if not (name := series.main()):
        return ""
    values = [value for _, value in series.points[name]]
    return f"{name} {sparkline(values)} {values[-1]:.4g}".replace("  ", " ")


async def jobs(host: "Host", argument: str) -> None:
    """`/jobs`: the runs of the thread; `/jobs logs ID` the end of one's log; `/jobs stop ID` stops it."""
    from ml_intern.runs.poll import look, stop
    from ml_intern.runs.summary import standing_line

    word, _, id = argument.partition(" ")
    store = host.session.services.store
    rows = [row for row in await store.runs.list(host.session.thread_id) if row.id.startswith(id.strip())]
    if word not in ("", "logs", "stop") or (word and not id.strip()):
        host.screen.line("/jobs, /jobs logs ID or /jobs stop ID", "red")
        return
    if word and len(rows) > 1:
        host.screen.line(f"{id.strip()} is the beginning of {len(rows)} ids; write more of it", "red")
        return
    for row in rows:
        seen = row
        try:
            seen = await (stop(store, row) if word == "stop" else look(store, row))
        except MLInternError as error:  # the session goes on; the run is shown as it stood last
            host.screen.line(f"{row.id}: {error.message}", "red")
        host.screen.line(f"{seen.id} {one_line(seen.name or seen.command, 60)}: {standing_line(seen)}")
        if course := course_line(seen):
            host.screen.line(f"  {course}", "dim")
        if word == "logs":
            host.screen.line(last_lines(Path(seen.log), LOG_LINES, LOG_CHARACTERS).rstrip())
    if not rows:
        host.screen.line("this thread has no such run" if id else "this thread has no runs", "dim")


async def leave_runs(host: "Host") -> None:
    """Before the person goes: say which runs go on, and stop them if asked to."""
    rows = await host.session.runs.going()
    if not rows:
        return
    for line in left_lines(rows):
        host.screen.line(line, "yellow")
    try:
        answer = await host.prompt.line("leave them running (Enter), or stop them (s)? ")
    except KeyboardInterrupt:
        answer = None
    if (answer or "").strip().lower() in ("s", "stop"):
        left = await host.session.runs.stop()
        host.screen.line("not all could be stopped; `ml-intern jobs list` shows them" if left else "stopped", "dim")
