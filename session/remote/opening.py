"""Open the threads of the server that the user chose, in place of those of this machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import TYPE_CHECKING

from ml_intern.configs.errors import UsageError
from ml_intern.session.opening.request import SessionRequest
from ml_intern.session.remote.servers import SavedServer

if TYPE_CHECKING:
    from ml_intern.session.remote.session import ServerSession
    from ml_intern.session.remote.threads import ServerThreads

SENT = ("headless", "thread", "latest", "fork", "folder", "model", "stream")
"""The fields of a request that a server performs, or that only concern this side."""


@asynccontextmanager
async def server_threads(server: SavedServer) -> AsyncIterator["ServerThreads"]:
    """Open the threads of a server."""
    from ml_intern.session.remote.client import open_client
    from ml_intern.session.remote.session import threads_of

    async with open_client(server) as client:
        yield threads_of(client)


@asynccontextmanager
async def server_session(server: SavedServer, request: SessionRequest) -> AsyncIterator["ServerSession"]:
    """Open the requested thread of a server, or a new one. Raises UsageError and TemporaryError."""
    from ml_intern.session.remote.client import open_client
    from ml_intern.session.remote.session import ServerSession, threads_of

    _refuse_options(request)
    async with open_client(server) as client:
        thread_id = await _thread_id(threads_of(client), request)
        session = await ServerSession.open(client, thread_id, folder=request.folder or "", model=request.model or "")
        try:
            yield session
        finally:
            await session.close()


async def _thread_id(threads: "ServerThreads", request: SessionRequest) -> str:
    if request.thread is not None:
        row = await threads.find(request.thread)
    elif request.latest:
        rows = await threads.list(request.folder, 1)
        if not rows:
            raise UsageError("the server has no thread to continue", "start one without -c")
        row = rows[0]
    else:
        await threads.statuses(1)  # a wrong token or address is reported before the first message is typed
        return ""
    return (await threads.fork(row.id, None)).id if request.fork else row.id


def _refuse_options(request: SessionRequest) -> None:
    """Raise UsageError for options that the worker of a server would not follow."""
    unset = SessionRequest()
    for field in fields(SessionRequest):
        if field.name == "approval_mode" and request.approval_mode == "ask":  # the mode of a worker
            continue
        if field.name not in SENT and getattr(request, field.name) != getattr(unset, field.name):
            name = "set" if field.name == "assignments" else field.name
            raise UsageError(
                f"the option for {name.replace('_', ' ')} has no effect with --server",
                "only -m, -C, -c, -r, --fork and the options of the output have",
            )
    if request.model and request.continues:
        raise UsageError("-m has no effect on a thread of a server", "use /model in the session")


async def user_of(server: SavedServer) -> str:
    """Return the name of the user to whom the token belongs; "" if the server has no users. Raises MLInternError."""
    from ml_intern.session.remote.client import NoRoute, open_client

    async with open_client(server) as client:
        try:
            return str((await client.get("/api/me"))["name"])
        except NoRoute:  # a server without users
            await client.get("/api/threads")
            return ""
