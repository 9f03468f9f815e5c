"""Links to the sessions of threads: in the process that has a thread open, or in one that is started for it."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from ml_intern.configs.errors import MLInternError, TemporaryError, UsageError
from ml_intern.configs.paths import data_home
from ml_intern.server.web.watching.processes import PROCESSES
from ml_intern.session.wire import codec, sockets
from ml_intern.session.wire.attaching import is_served
from ml_intern.session.wire.link import DELAYS, Connect, ConnectionLost, Line, RequestRefused, WireConnection

PROGRAM = ("ml_intern.__main__", "session", "--json")
NAME = "web"
"""The name that other clients see when the page answers an approval."""
ANSWER_SECONDS = 60.0
"""The time that a process has to open its session, or a busy one to answer."""

Received = asyncio.Queue[Line | None]
"""The lines of a session, and None when its process has ended."""


class ThreadLink(Protocol):
    """A connection to the session of a thread. Its lines are in `received`, and None when the session has ended."""

    @property
    def owned(self) -> bool:
        """Whether the process of the session was started by this server, and ends with the link."""
        ...

    @property
    def runner(self) -> str:
        """Who runs the thread: "web" (a process of this server), "other", or "" (not known)."""
        ...

    @property
    def received(self) -> Received:
        """The lines of the session."""
        ...

    @property
    def thread_id(self) -> str:
        """The thread that the session is in."""
        ...

    async def watch(self) -> Line:
        """Receive the events that describe the current state, then all later ones. Return the reply."""
        ...

    async def submit(self, operation: Line, id: str = "") -> None:
        """Submit an operation, given as a JSON object. Raises its errors, and TemporaryError."""
        ...

    async def proceed(self) -> None:
        """Continue a turn that was cut off. Raises MLInternError."""
        ...

    async def get(self, name: str, *, changes: bool = False, **args: object) -> object:
        """Return the result of a request. Raises its errors, and TemporaryError if the session has ended."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...


@dataclass(frozen=True)
class ThreadRequest:
    """A thread that is to be created: in a folder, or for a user, whose threads have folders of their own."""

    folder: str = ""
    model: str = ""
    user: str = ""
    repository: str = ""
    """The address of a repository that is cloned into the folder of a user's thread."""
    message_id: str = ""
    """The id of the first message; "" lets the server choose one."""


class Sessions(Protocol):
    """Where the sessions of threads run."""

    @property
    def remembers(self) -> bool:
        """Whether an operation that is submitted again with the same id is performed once, through any server."""
        ...

    async def post(self, thread_id: str, operation: Line, id: str) -> None:
        """Submit an operation to a thread that is not attached, if `remembers`. Raises its errors."""
        ...

    def is_running(self, thread_id: str) -> bool:
        """Return whether a session can be attached to without a start."""
        ...

    async def attach(self, thread_id: str) -> ThreadLink:
        """Connect to the session of a thread. Raises MLInternError."""
        ...

    async def resume(self, thread_id: str, folder: str) -> ThreadLink:
        """Start a session that continues a thread. Raises MLInternError."""
        ...

    async def create(self, wanted: ThreadRequest) -> ThreadLink:
        """Start a session with a new thread. Raises MLInternError."""
        ...


class LocalSessions:
    """Sessions in processes of this machine."""

    remembers = False

    async def post(self, thread_id: str, operation: Line, id: str) -> None:  # noqa: ARG002  the protocol's signature
        """Refuse: a session has to be attached to. Raises UsageError."""
        raise UsageError("this thread is not attached", "open it first")

    def is_running(self, thread_id: str) -> bool:
        """Return whether another process has the thread open and serves it."""
        return is_served(data_home(), thread_id)

    async def attach(self, thread_id: str) -> ThreadLink:
        """Connect to the process that has the thread open. Raises MLInternError."""
        return await SessionLink.attach(thread_id)

    async def resume(self, thread_id: str, folder: str) -> ThreadLink:
        """Start a process that continues the thread. Raises MLInternError."""
        return await SessionLink.start(resume_options(thread_id, folder))

    async def create(self, wanted: ThreadRequest) -> ThreadLink:
        """Start a process with a new thread. Raises MLInternError."""
        if wanted.repository:
            raise UsageError("threads of this server work in folders of its machine", "clone the repository there")
        model = ["-m", wanted.model] if wanted.model else []
        return await SessionLink.start(["-C", wanted.folder, "--approval-mode", "ask", *model])


class SessionLink:
    """Sends operations to a session; its lines are in `received`. `owned`: its process was started by this server."""

    def __init__(self, connect: Connect, *, owned: bool) -> None:
        self.owned, self.runner = owned, "web" if owned else "other"
        self.received: Received = asyncio.Queue()
        put = self.received.put_nowait
        self._wire = WireConnection(connect, put, lambda: put(None), name=NAME, delays=() if owned else DELAYS)

    @classmethod
    async def attach(cls, thread_id: str) -> Self:
        """Connect to the process that has the thread open. Raises MLInternError."""

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await asyncio.open_unix_connection(sock=sockets.connect(data_home(), thread_id))

        return await cls(connect, owned=False)._opened()

    @classmethod
    async def start(cls, options: Sequence[str]) -> Self:
        """Start a process with a session. `options` are those of `ml-intern session`. Raises MLInternError."""

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            process = await PROCESSES.start(*PROGRAM, *options)
            return process.reader, process.writer

        return await cls(connect, owned=True)._opened()

    @property
    def thread_id(self) -> str:
        """The thread that the session is in."""
        return str(self._wire.greeting["thread_id"])

    async def watch(self) -> Line:
        """Receive the events that describe the current state, then all later ones. Return the reply."""
        return await self._known(self._wire.watch())

    async def submit(self, operation: Line, id: str = "") -> None:  # noqa: ARG002  the connection has its own
        """Submit an operation, given as a JSON object. Raises its errors, and TemporaryError if the session ended."""
        await self._known(self._wire.request(do=operation))

    async def proceed(self) -> None:
        """Do nothing: a session that is opened continues a turn that was cut off."""

    async def get(self, name: str, *, changes: bool = False, **args: object) -> object:
        """Return the result of a request. Raises its errors, and TemporaryError if the session has ended."""
        verb = "call" if changes else "get"
        return (await self._known(self._wire.request(**{verb: name}, args=args)))["value"]

    async def close(self) -> None:
        """End the connection, and the session if its process was started by this server."""
        if self.owned:
            await self._wire.finish()
        await self._wire.close()

    async def _opened(self) -> Self:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._wire.open()
        except RequestRefused as refused:
            raise codec.decode_error(refused.error) from refused
        except (OSError, ConnectionLost) as error:  # TimeoutError is an OSError
            raise _unanswered() from error
        return self

    async def _known(self, request: Awaitable[Line]) -> Line:
        try:
            return await request
        except RequestRefused as refused:
            raise codec.decode_error(refused.error) from refused
        except ConnectionLost as lost:
            raise _unanswered() from lost


def _unanswered() -> MLInternError:
    return TemporaryError("the process that runs this thread has ended or does not answer", "continue the thread")


def resume_options(thread_id: str, folder: str) -> list[str]:
    """Return the options of a session that continues a thread in its folder."""
    place = ["-C", folder] if folder and Path(folder).is_dir() else []
    return ["-r", thread_id, *place, "--approval-mode", "ask"]
