"""`threads move`: a thread goes to a team's database, or comes back to this machine."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from ml_intern.commands.output import Json, print_json, print_lines
from ml_intern.commands.threads.move import Thread
from ml_intern.text.formatting import plural

To = Annotated[str, typer.Option("--to", metavar="URL|local", help="a PostgreSQL database, or this machine's file")]
Home = Annotated[
    str | None, typer.Option("--home", metavar="DIR", help="the data folder there (default: the one that is used here)")
]


def move(thread: Thread, to: To, home: Home = None, json: Json = False) -> int:
    """Move a thread with its history, costs and files to a team's database, or back to this machine."""
    from ml_intern.session.exchange.moving import move_thread

    moved = asyncio.run(move_thread(thread, to, home))
    if json:
        return print_json(asdict(moved))
    parts = [plural(moved.checkpoints, "checkpoint"), plural(moved.files, "file")]
    others = f" and {plural(moved.threads - 1, 'sub-agent')}" if moved.threads > 1 else ""
    return print_lines([f"moved {moved.id[:8]} {moved.title!r}{others}: {', '.join(parts)} copied and compared"])
