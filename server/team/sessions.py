"""TeamSessions: links to threads that workers run. Operations are posted to the database, events are read from it."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from uuid import uuid4

from ml_intern.configs.errors import UsageError
from ml_intern.graph.events import Event
from ml_intern.server.web.watching.attachments import NAME, Received, ThreadRequest
from ml_intern.session.team.following import TeamThreads
from ml_intern.session.team.repositories import REPOSITORY, checked_repository
from ml_intern.session.wire import codec
from ml_intern.session.wire.codec import encode_event
from ml_intern.session.wire.link import Line


class TeamSessions:
    """The sessions of a shared database. Every thread can be attached to, whether it runs or not."""

    remembers = True

    def __init__(self, threads: TeamThreads, private_hosts: Sequence[str] = ()) -> None:
        self._threads = threads
        self._private_hosts = private_hosts

    def is_running(self, thread_id: str) -> bool:  # noqa: ARG002  the protocol's signature
        """Return True."""
        return True

    async def post(self, thread_id: str, operation: Line, id: str) -> None:
        """Post an operation to a thread. One with the same id is performed once. Raises its errors."""
        await post(self._threads, thread_id, operation, id)

    async def attach(self, thread_id: str) -> "TeamLink":
        """Follow a thread."""
        return TeamLink(self._threads, thread_id)

    async def resume(self, thread_id: str, folder: str) -> "TeamLink":  # noqa: ARG002  the protocol's signature
        """Follow a thread. Its folder is the one that it was created with."""
        return TeamLink(self._threads, thread_id)

    async def create(self, wanted: ThreadRequest) -> "TeamLink":
        """Create a thread, which a worker runs when something is posted to it. Raises UsageError."""
        if wanted.repository and not wanted.user:
            raise UsageError("the threads of the operator work in folders", "clone the repository there")
        if wanted.repository:
            checked_repository(wanted.repository, self._private_hosts)
        given = {"model": wanted.model, REPOSITORY: wanted.repository}
        options = {name: one for name, one in given.items() if one}
        return TeamLink(self._threads, await self._threads.create(wanted.folder, options, wanted.user))


class TeamLink:
    """Posts operations to a thread, and receives its events."""

    owned = False
    runner = ""

    def __init__(self, threads: TeamThreads, thread_id: str) -> None:
        self.thread_id = thread_id
        self.received: Received = asyncio.Queue()
        self._threads = threads
        self._stack = AsyncExitStack()

    async def watch(self) -> Line:
        """Receive the events that describe the current state, then all later ones. Return the last number."""
        follower = await self._stack.enter_async_context(self._threads.follow(self.thread_id, self.received.put_nowait))
        return {"seq": await follower.start()}

    async def submit(self, operation: Line, id: str = "") -> None:
        """Post an operation. Raises its errors. If no worker performs it within seconds, the pages say so."""
        if not await post(self._threads, self.thread_id, operation, id):
            self.received.put_nowait({"event": encode_event(self._waiting()), "state": True})

    def _waiting(self) -> Event:
        message, remedy = "no worker has performed this yet; it is saved and waits", "start one with ml-intern worker"
        data = {"message": message, "remedy": remedy, "exit_code": None, "retry_in_s": None}
        return Event("error", self.thread_id, 0, time.time(), data)

    async def proceed(self) -> None:
        """Continue a turn that was cut off. Raises MLInternError."""
        await self.submit({"type": "continue"})

    async def get(self, name: str, *, changes: bool = False, **args: object) -> object:  # noqa: ARG002
        """Refuse: the reader of the server answers all requests about threads. Raises UsageError."""
        raise UsageError(f"{name} is not available from a worker", "read it from the database")

    async def close(self) -> None:
        """Stop following."""
        self.received.put_nowait(None)
        await self._stack.aclose()


async def post(threads: TeamThreads, thread_id: str, operation: Line, id: str) -> bool:
    """Post an operation, and return whether a worker performed it within seconds. Raises its errors.

    One that is posted again with the same id, through any server, is performed once and answered again.
    """
    codec.decode_operation(operation)
    if operation["type"] == "exec_approval":
        operation = {**operation, "by": NAME}
    if operation["type"] == "interrupt" and not await threads.is_running(thread_id):
        raise UsageError("no turn is running in this thread", "nothing was changed")
    key = f"{thread_id}:{id or uuid4().hex}"
    if operation["type"] == "user_input":  # a worker that repeats it after another one was killed adds no message
        operation = {"id": key, **operation}
    return await threads.post(thread_id, operation, key)
