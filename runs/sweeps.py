"""Find the runs of a sweep by its name or one of its runs. They were started by one call."""

from collections.abc import Sequence

from ml_intern.configs.errors import UsageError
from ml_intern.runs.naming import MAX_CANDIDATES
from ml_intern.store.runs import RunRow
from ml_intern.text.formatting import listed


def runs_with(row: RunRow, rows: Sequence[RunRow]) -> list[RunRow]:
    """Return the runs of the sweep that a run belongs to; only this run when it belongs to none."""
    return [one for one in rows if row.call and one.call == row.call and one.thread_id == row.thread_id] or [row]


def runs_named(name: str, rows: Sequence[RunRow], *, latest: bool = True) -> list[RunRow]:
    """Return the runs of the sweep with this name; none without such a sweep, or if a run has this id or name.

    Of several sweeps, take the open ones, and of these the latest. `rows` are in order of time.

    Raises:
        UsageError: several are open, without `latest`.
    """
    if any(name in (row.id, row.name) for row in rows):
        return []
    firsts = {row.call: row for row in reversed(rows) if row.call and name and row.name.startswith(f"{name} ")}
    sweeps = [found for row in reversed(firsts.values()) if len(found := runs_with(row, rows)) > 1]
    chosen = [sweep for sweep in sweeps if any(row.open for row in sweep)] or sweeps
    if len(chosen) > 1 and not latest:
        ids = listed([sweep[0].id for sweep in chosen], MAX_CANDIDATES)
        raise UsageError(f"{name!r} names several sweeps, with the runs {ids}", "name one of these runs with --sweep")
    return chosen[-1] if chosen else []
