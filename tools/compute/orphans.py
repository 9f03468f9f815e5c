"""Runs of ours that no row tells of, as after the loss of the database: they get one again, so they can be stopped."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

from store.runs import RunRow
from tools.compute.run_folder import LOG, is_supervised, read_status, runs_home

if TYPE_CHECKING:
    from store.store import Store

UNKNOWN = "(not known: its record was lost)"


async def adopt_unlisted(store: "Store") -> None:
    """Make rows of local runs that go on and have none. They belong to no thread."""
    listed = {row.id for row in await store.runs.list()}
    for folder in await asyncio.to_thread(_supervised, store.home):
        if folder.name not in listed:
            await store.runs.add(_row(folder))


def _supervised(home: Path) -> list[Path]:
    folder = runs_home(home)
    return [one for one in sorted(folder.iterdir()) if is_supervised(one)] if folder.is_dir() else []


def _row(folder: Path) -> RunRow:
    status = read_status(folder)
    handle = json.dumps({"pid": status.get("pid"), "started": status.get("started"), "folder": str(folder)})
    return RunRow(folder.name, "", UNKNOWN, handle=handle, started=status.get("started"), log=str(folder / LOG))
