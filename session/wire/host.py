"""SessionHost: serves one open session to any number of connections."""

import asyncio
from collections import OrderedDict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ml_intern.configs.errors import TemporaryError, UsageError
from ml_intern.configs.version import version
from ml_intern.graph import operations as ops
from ml_intern.graph.events import Event
from ml_intern.session.wire.codec import WIRE
from ml_intern.session.wire.connection import CLOSING_SECONDS, AtEnd, ClientConnection
from ml_intern.session.wire.current import ENDINGS, CurrentState
from ml_intern.session.wire.tail import Tail
from ml_intern.text.clients import answered_from

if TYPE_CHECKING:
    from ml_intern.session.protocol import Session

MAX_CONNECTIONS = 256
MAX_ANSWERED = 1_000


class SessionHost:
    """Performs the operations of all connections, each once, and keeps the events for their watchers."""

    def __init__(self, session: "Session", seq: int, current: CurrentState) -> None:
        self.session = session
        self.current = current
        self.tail = Tail(session.thread_id, seq)
        self._id = uuid4().hex
        self._answered_from = ""
        self._answered: OrderedDict[tuple[str, str], asyncio.Task[None]] = OrderedDict()
        self._connections: dict[asyncio.Task[None], ClientConnection] = {}

    def take(self, event: Event) -> None:
        """Pass an event of the session to the watchers."""
        end = self.session.end
        self.tail.add(event, **({"end": asdict(end) if end else None} if event.type in ENDINGS else {}))
        if event.type in ("approval_required", "approval_answered"):
            is_answer = event.type == "approval_answered"
            self._answered_from = answered_from(event.data["by"], event.data["device"]) if is_answer else ""
        if event.type == "shutdown":
            self.tail.close()

    def greeting(self) -> dict[str, Any]:
        """Return the first object that a connection sends."""
        thread_id, seq = self.tail.thread_id, self.tail.seq
        return {"wire": WIRE, "version": version(), "thread_id": thread_id, "seq": seq, "session": self._id}

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, at_end: AtEnd | None = None
    ) -> None:
        """Serve one connection until its client or the session ends. `at_end` is called when the client has ended."""
        connection = ClientConnection(self, reader, writer, at_end)
        if len(self._connections) >= MAX_CONNECTIONS:
            many = TemporaryError(f"{MAX_CONNECTIONS} clients are connected already", "close one and try again")
            await connection.refuse(many)
            return
        task = asyncio.create_task(connection.run())
        self._connections[task] = connection
        task.add_done_callback(self._connections.pop)
        await asyncio.wait({task})
        await self.session.submit(ops.Disconnected(connection.client))

    async def submit(self, client: str, id: str, operation: ops.Operation) -> None:
        """Submit an operation, or repeat the answer if this client sent the id before. Raises MLInternError."""
        key = (client, id)
        if key not in self._answered:
            self._answered[key] = asyncio.create_task(self._submit(operation))
            while len(self._answered) > MAX_ANSWERED:
                self._answered.popitem(last=False)
        await asyncio.shield(self._answered[key])

    async def _submit(self, operation: ops.Operation) -> None:
        if self.tail.closed:
            raise TemporaryError("the session is closed", "resume the thread")
        if isinstance(operation, ops.ExecApproval):
            await check_answer(self.session, operation, self._answered_from)
        await self.session.submit(operation)

    async def close(self) -> None:
        """Let the watchers take the last events, then end all connections."""
        self.tail.close()
        connections = dict(self._connections)
        await asyncio.gather(*(one.finish(CLOSING_SECONDS) for one in connections.values()))
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, *self._answered.values(), return_exceptions=True)


async def check_answer(session: "Session", operation: ops.ExecApproval, answered_from: str = "") -> None:
    """Refuse an answer if no approval is pending, or to calls that are not. Raises UsageError.

    `answered_from` is where the last one was answered, such as "from the web page".
    """
    pending = await session.pending_approval()
    if pending is None:
        last = f"the last one was answered {answered_from}" if answered_from else "the turn continued or ended"
        raise UsageError("no approval is pending", last)
    asked = {request["id"] for request in pending["requests"]}
    if unknown := set(operation.decisions) - asked:
        raise UsageError(f"no such request: {', '.join(sorted(unknown))}", f"pending: {', '.join(sorted(asked))}")
