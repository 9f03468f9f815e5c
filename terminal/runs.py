"""Runs as a person sees them: what goes on when one leaves, the list, the course of a metric in a line."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from terminal.summary import one_line

if TYPE_CHECKING:
    from store.runs import RunRow

MOST_NAMED = 5


def left_lines(rows: "Sequence[RunRow]") -> Iterator[str]:
    """What is said of runs that go on when the program ends."""
    if rows:
        named = ", ".join(f"{row.id} ({one_line(row.command, 60)})" for row in rows[:MOST_NAMED])
        more = f" and {len(rows) - MOST_NAMED} more" if len(rows) > MOST_NAMED else ""
        yield f"{len(rows)} run(s) go on: {named}{more}; `ml-intern jobs list` shows them, `jobs cancel ID` stops one"


def course_line(row: "RunRow") -> str:
    """The course of its main metric; "" when it printed none. Reads the log."""
    from tools.compute.metrics import series_of, sparkline
    from tools.compute.run_folder import TRACKIO

    log = Path(row.log)
    series = series_of(log, log.parent / TRACKIO)
    if not (name := series.main()):
        return ""
    values = [value for _, value in series.points[name]]
    return f"{name} {sparkline(values)} {values[-1]:.4g}".replace("  ", " ")
