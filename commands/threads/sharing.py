"""`threads share`: what another user of a team's server may do with a thread."""

import asyncio
from typing import Annotated, Literal

import typer

from ml_intern.commands.output import Json, fitted_columns, print_json, print_lines
from ml_intern.commands.threads.move import Thread
from ml_intern.commands.threads.opened import threads_of_user
from ml_intern.configs.errors import UsageError
from ml_intern.session.team.sharing import Granted, share_thread

Can = Literal["read", "answer", "write", "own", "nothing"]


def share(
    thread: Thread,
    user: Annotated[str, typer.Argument(metavar="[USER]", help="without one, who has access is shown")] = "",
    can: Annotated[
        Can,
        typer.Option("--can", metavar="LEVEL", help="read, answer (approvals), write, own (gives it away), nothing"),
    ] = "read",
    json: Json = False,
) -> int:
    """Share a thread with another user of the team's server, or end that. Show who has access."""
    granted = asyncio.run(_share(thread, user, can))
    if json:
        return print_json([{"name": name, "can": level} for name, level in granted])
    if not granted:
        return print_lines(["only admins have access"])
    return print_lines(fitted_columns([("USER", "CAN"), *granted]))


async def _share(text: str, user: str, can: Can) -> Granted:
    async with threads_of_user() as threads:
        row = await threads.find(text)
    if row.child:
        raise UsageError("this is the thread of a sub-agent", "share the thread that started it")
    return await share_thread(row.id, user, can)
