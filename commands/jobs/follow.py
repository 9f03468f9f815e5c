"""`jobs logs` and `jobs wait`: show a run's log and wait until it ends."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_intern.commands.failure import say
from ml_intern.commands.jobs.jobs import Run, Shown, found_run, run_json
from ml_intern.commands.options import seconds
from ml_intern.commands.output import Json, print_json, print_lines
from ml_intern.configs.errors import LimitReached, TemporaryError
from ml_intern.session.opening.store import open_store

if TYPE_CHECKING:
    from ml_intern.store.runs import RunRow
    from ml_intern.store.store import Store

POLL_SECONDS = 0.5
AWAY_SECONDS = 2.0
"""How long to wait before a run is polled again whose state was not available."""
PART_BYTES = 1 << 18
LOG_CHARACTERS = 1 << 20
FAILED = 1


def logs(
    run: Run,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="follow the log until the run ends")] = False,
    lines: Annotated[
        int, typer.Option("-n", "--lines", metavar="N", min=0, help="show the last N lines (0: all)")
    ] = 100,
    json: Json = False,
) -> int:
    """Show the log of a run."""
    if json:
        row, text = asyncio.run(_end_of(run, lines))
        return print_json({**run_json(Shown(row)), "text": text})
    asyncio.run(_show(run, lines, follow=follow))
    return 0


def wait(
    run: Run,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="stop waiting after this time and exit with 124")
    ] = None,
    json: Json = False,
) -> int:
    """Wait until a run has ended. Exits with 0 if it succeeded, else with 1."""
    row = asyncio.run(_wait(run, seconds(timeout) if timeout is not None else None))
    if json:
        print_json(run_json(Shown(row)))
    else:
        from ml_intern.runs.summary import standing_line

        print_lines([f"{row.id} {standing_line(row)}"])
    return 0 if row.state == "succeeded" else FAILED


async def _end_of(name: str, lines: int) -> "tuple[RunRow, str]":
    from ml_intern.runs.logs import last_lines
    from ml_intern.runs.poll import poll

    async with open_store() as store:
        row = await poll(store, await found_run(store, name))
        return row, last_lines(Path(row.log), lines, LOG_CHARACTERS)


async def _show(name: str, lines: int, *, follow: bool) -> None:
    from ml_intern.runs.logs import last_lines, part

    async with open_store() as store:
        poller = Poller(store)
        row = await poller.poll(await found_run(store, name))
        log = Path(row.log)
        at = 0
        if lines:
            at = log.stat().st_size if log.exists() else 0
            _write(last_lines(log, lines, LOG_CHARACTERS, until=at))
        while True:
            row = await poller.poll(row) if follow else row
            while (read := part(log, at, PART_BYTES, ended=not row.open)).text:
                _write(read.text)
                at = read.next
            if not (follow and row.open):
                return
            await asyncio.sleep(poller.pause)


async def _wait(name: str, limit: float | None) -> "RunRow":
    async with open_store() as store:
        row, poller = await found_run(store, name), Poller(store)
        try:
            async with asyncio.timeout(limit):
                while (row := await poller.poll(row)).open:  # noqa: ASYNC110 another process sends no event
                    await asyncio.sleep(poller.pause)
        except TimeoutError:
            raise LimitReached(
                f"{row.id} is still running", f"wait longer, or stop it with `ml-intern jobs cancel {row.id}`"
            ) from None
        return row


class Poller:
    """Polls one run, and reports on stderr when its state is not available, and when it is available again."""

    def __init__(self, store: "Store") -> None:
        self._store = store
        self._is_away = False

    @property
    def pause(self) -> float:
        """How long to wait before the next poll, in seconds."""
        return AWAY_SECONDS if self._is_away else POLL_SECONDS

    async def poll(self, row: "RunRow") -> "RunRow":
        """Return the run's current state, or its last known state while it is not available."""
        from ml_intern.runs.poll import poll

        try:
            seen = await poll(self._store, row)
        except TemporaryError as error:
            if not self._is_away:
                say(f"note: {error.message}; {row.id} is shown as last known ({row.state}) and may continue there", 0)
            self._is_away = True
            return row
        if self._is_away:
            say(f"note: the state of {row.id} is available again", 0)
        self._is_away = False
        return seen


def _write(text: str) -> None:
    from ml_intern.text.visible import visible

    sys.stdout.write(visible(text))
    sys.stdout.flush()
