"""`jobs logs` and `jobs wait`: what a run prints, and its end."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_intern.commands.jobs.jobs import Json, Run, Shown, found_run, run_json
from ml_intern.commands.options import seconds
from ml_intern.commands.output import print_json, print_lines
from ml_intern.configs.errors import LimitReached, TemporaryError
from ml_intern.session.opening.store import open_store

if TYPE_CHECKING:
    from ml_intern.store.runs import RunRow
    from ml_intern.store.store import Store

SECONDS_BETWEEN_LOOKS = 0.5
PART_BYTES = 1 << 18
LOG_CHARACTERS = 1 << 20
FAILED = 1


def logs(
    run: Run,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="go on until the run ends")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", metavar="N", min=0, help="the last N lines (0: all)")] = 100,
    json: Json = False,
) -> int:
    """Show what a run printed."""
    if json:
        row, text = asyncio.run(_end_of(run, lines))
        return print_json({**run_json(Shown(row)), "text": text})
    asyncio.run(_show(run, lines, follow=follow))
    return 0


def wait(
    run: Run,
    timeout: Annotated[str | None, typer.Option("--timeout", metavar="DURATION", help="give up then, with 124")] = None,
    json: Json = False,
) -> int:
    """Wait until a run ended. The exit code is 0 when it went well, else 1."""
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
        row = await _seen(store, await found_run(store, name))
        log = Path(row.log)
        at = 0
        if lines:
            at = log.stat().st_size if log.exists() else 0
            _write(last_lines(log, lines, LOG_CHARACTERS, until=at))
        while True:
            row = await _seen(store, row) if follow else row
            while (read := part(log, at, PART_BYTES, ended=not row.open)).text:
                _write(read.text)
                at = read.next
            if not (follow and row.open):
                return
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)


async def _wait(name: str, limit: float | None) -> "RunRow":
    async with open_store() as store:
        row = await found_run(store, name)
        try:
            async with asyncio.timeout(limit):
                while (row := await _seen(store, row)).open:  # noqa: ASYNC110 nothing tells of another process
                    await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
        except TimeoutError:
            raise LimitReached(f"{row.id} has not ended yet", "wait longer, or cancel it") from None
        return row


async def _seen(store: "Store", row: "RunRow") -> "RunRow":
    """The run as it stands; as it stood last while that cannot be told."""
    from ml_intern.runs.poll import poll

    try:
        return await poll(store, row)
    except TemporaryError:
        return row


def _write(text: str) -> None:
    from ml_intern.text.visible import visible

    sys.stdout.write(visible(text))
    sys.stdout.flush()
