"""A connection to a session as lines of JSON, opened again if it is lost. Only the standard library is used."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from ml_intern.session.wire.lines import BoundedLines

WIRE = 1
"""The version of the format."""
MAX_REPLY = 256 * 1024 * 1024
"""Length of a line that a server may send, in bytes."""
DELAYS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5)
"""Seconds before each attempt to connect again."""

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
Line = dict[str, Any]


class ConnectionLost(Exception):
    """The process at the other end has ended or does not answer."""


class RequestRefused(Exception):
    """The server answered a request with an error. `error` is its JSON object."""

    def __init__(self, error: Line) -> None:
        super().__init__(error.get("message", ""))
        self.error = error


class WireConnection:
    """Sends requests and waits for their replies. `take` gets the other lines in order, `lost` is called at the end."""

    def __init__(
        self,
        connect: Connect,
        take: Callable[[Line], None],
        lost: Callable[[], None],
        *,
        name: str,
        delays: Sequence[float] = DELAYS,
    ) -> None:
        self.greeting: Line = {}
        self._connect, self._take, self._lost = connect, take, lost
        self._hello = {"wire": WIRE, "name": name, "client": uuid4().hex}
        self._delays = delays
        self._lines: BoundedLines
        self._writer: asyncio.StreamWriter
        self._pending: dict[int, tuple[Line, asyncio.Future[Line]]] = {}
        self._last_id = 0
        self._watch_id = 0
        self._after: int | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return not self._ended

    @property
    def seq(self) -> int:
        """The number of the last event."""
        return self._after if self._after is not None else int(self.greeting["seq"])

    async def open(self) -> None:
        """Connect.

        Raises:
            OSError, ConnectionLost: nothing answers.
            RequestRefused: the server has another version, or cannot open a session.
        """
        self.greeting = await self._greeted()
        self._reading = asyncio.create_task(self._read())

    async def request(self, **message: Any) -> Line:
        """Send a request and return its reply. Raises RequestRefused and ConnectionLost."""
        if self._ended:
            raise ConnectionLost
        self._last_id += 1
        line = {"id": self._last_id, **message}
        reply: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        self._pending[self._last_id] = line, reply
        await self._send(line)
        try:
            answer = await reply
        finally:
            self._pending.pop(line["id"], None)
        if "error" in answer:
            raise RequestRefused(answer["error"])
        return answer

    async def watch(self) -> Line:
        """Receive the events that describe the current state, then all later ones. Return the reply."""
        self._watch_id = self._last_id + 1
        return await self.request(watch={"after": None, "state": True})

    async def tell(self, **message: Any) -> None:
        """Send a line that has no reply."""
        await self._send(message)

    async def finish(self) -> None:
        """Send no more, read the rest, and close the connection."""
        self._delays = ()
        with suppress(OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
        if self._reading is not None:
            await asyncio.wait({self._reading})
        self._writer.close()

    async def close(self) -> None:
        """Close the connection."""
        self._ended = True
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._fail_pending()
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    # --- the connection

    async def _greeted(self) -> Line:
        reader, self._writer = await self._connect()
        self._lines = BoundedLines(reader, MAX_REPLY)
        try:
            text = await self._lines.next()
            greeting = _checked(text)
        except BaseException:
            self._writer.close()
            raise
        await self._send(self._hello)
        return greeting

    async def _send(self, message: Line) -> None:
        """Write a line. If the connection is lost, it is sent again when there is another one."""
        with suppress(OSError):
            self._writer.write(json.dumps(message).encode() + b"\n")
            await self._writer.drain()

    async def _read(self) -> None:
        try:
            while True:
                with suppress(OSError):
                    while (text := await self._lines.next()) is not None:
                        self._dispatch(json.loads(text))
                if not await self._connected_again():
                    return
        finally:
            if not self._ended:
                self._ended = True
                self._fail_pending()
                self._lost()

    async def _connected_again(self) -> bool:
        """Connect to the same session again. Return False if it has ended."""
        for delay in self._delays:
            self._writer.close()
            await asyncio.sleep(delay)
            try:
                greeting = await self._greeted()
            except (OSError, ConnectionLost, RequestRefused):
                continue
            if greeting["session"] != self.greeting["session"]:
                return False
            await self._send_again(greeting["thread_id"])
            return True
        return False

    async def _send_again(self, thread_id: str) -> None:
        """Watch again from the last event on, and repeat the requests without a reply."""
        if self._after is not None:
            after = self._after if thread_id == self.greeting["thread_id"] else 0
            await self._send({"id": self._watch_id, "watch": {"after": after}})
        for line, reply in list(self._pending.values()):
            if "call" in line and not reply.done():
                reply.set_exception(ConnectionLost())
            else:
                await self._send(line)

    def _dispatch(self, message: Line) -> None:
        if "event" in message and not message.get("state"):
            self._after = message["event"]["seq"]
            self.greeting["thread_id"] = message["event"]["thread_id"]
        elif "reset" in message:
            self._after = message["seq"]
        elif message.get("id") == self._watch_id:
            self._after = message.get("seq", self._after)
        if "id" not in message:
            self._take(message)
            return
        _, reply = self._pending.get(message["id"], (None, None))
        if reply is not None and not reply.done():
            reply.set_result(message)

    def _fail_pending(self) -> None:
        for _, reply in self._pending.values():
            if not reply.done():
                reply.set_exception(ConnectionLost())


def _checked(text: bytes | None) -> Line:
    """Return the greeting. Raises RequestRefused for an error or another version, ConnectionLost if there is none."""
    if text is None:
        raise ConnectionLost
    greeting: Line = json.loads(text)
    if "error" in greeting:
        raise RequestRefused(greeting["error"])
    if greeting.get("wire") != WIRE:
        wire, version = greeting.get("wire"), greeting.get("version")
        message = f"ml-intern {version} speaks version {wire} of the format, this program {WIRE}"
        remedy = "use the same version of ml-intern on both sides"
        raise RequestRefused({"code": "usage_error", "message": message, "remedy": remedy})
    return greeting
