"""ClientConnection: one client of a session, its requests and its watch."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, replace
from inspect import isawaitable
from typing import Any, Protocol
from uuid import uuid4

from ml_intern.configs.errors import MLInternError, UsageError
from ml_intern.configs.paths import data_home
from ml_intern.configs.version import version
from ml_intern.graph import operations as ops
from ml_intern.safety.error_log import log_error
from ml_intern.session.protocol import Session
from ml_intern.session.wire import codec
from ml_intern.session.wire.current import CurrentState
from ml_intern.session.wire.lines import BoundedLines, LineTooLong
from ml_intern.session.wire.requests import REQUESTS
from ml_intern.session.wire.tail import Tail

MAX_REQUESTS = 64
"""Requests of one connection that are answered at the same time."""
MAX_WORD = 200
"""Length of an id or a name."""
CLOSING_SECONDS = 2.0
"""The time that a client has to take the last events."""
AtEnd = Callable[[], Awaitable[None]]
DEFAULT_NAME = "api"
RESTS = ("idle", "at_rest")
"""Requests whose reply follows all events before it."""
VERBS = ("do", "get", "call", "watch")


class Served(Protocol):
    """The parts of a host that a connection uses."""

    session: Session
    tail: Tail
    current: CurrentState

    def greeting(self) -> dict[str, Any]:
        """Return the first object that a connection sends."""
        ...

    async def submit(self, client: str, id: str, operation: ops.Operation) -> None:
        """Submit an operation once. Raises MLInternError."""
        ...


class ClientConnection:
    """Reads the requests of one client and answers them. Operations are submitted in order, reads run side by side."""

    def __init__(
        self,
        served: Served,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        at_end: AtEnd | None = None,
    ) -> None:
        self._served = served
        self._at_end = at_end
        self._lines = BoundedLines(reader, codec.MAX_LINE)
        self._writer = writer
        self._sending = asyncio.Lock()
        self._name, self.client = DEFAULT_NAME, uuid4().hex
        """The name that other clients see, and the id that stays the same when the client connects again."""
        self._requests = asyncio.Semaphore(MAX_REQUESTS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None
        self._sent = 0
        """The position of the latest event that was sent."""
        self._sent_more = asyncio.Condition()

    async def run(self) -> None:
        """Serve the client until it or the session ends, or it speaks another version."""
        try:
            await self._send(self._served.greeting())
            while (text := await self._next()) is not None:
                if text.strip() and not await self._take(text):
                    break
            if self._at_end is not None:
                await self._at_end()
                await self.finish(CLOSING_SECONDS)
        except OSError:
            pass  # the client is gone
        finally:
            for task in (*self._tasks, *filter(None, [self._watch])):
                task.cancel()
            self._writer.close()

    async def finish(self, seconds: float) -> None:
        """Let the client read the last events for some seconds, then end the connection."""
        with suppress(OSError):  # TimeoutError is an OSError
            async with asyncio.timeout(seconds):
                if self._watch is not None:
                    await asyncio.wait({self._watch})
                self._writer.close()
                await self._writer.wait_closed()
        self._writer.transport.abort()

    async def refuse(self, error: MLInternError, code: str = "") -> None:
        """Send an error that belongs to no request, and end the connection."""
        with suppress(OSError):
            await self._send({"id": None, "error": codec.encode_error(error, code)})
        self._writer.close()

    # --- reading

    async def _next(self) -> bytes | None:
        while True:
            try:
                return await self._lines.next()
            except LineTooLong:
                error = UsageError(f"a line is longer than {codec.MAX_LINE} bytes", "send shorter lines")
                await self._send({"id": None, "error": codec.encode_error(error, "line_too_long")})

    async def _take(self, text: bytes) -> bool:
        """Process one line. Return False if the connection ends."""
        id: str | int | None = None
        try:
            message = codec.parse(text)
            if "wire" in message:
                return await self._hello(message)
            id = _id(message)
            await self._perform(id, message)
        except MLInternError as error:
            await self._send({"id": id, "error": codec.encode_error(error)})
        return True

    async def _hello(self, message: dict[str, Any]) -> bool:
        if message["wire"] != codec.WIRE:
            wire = str(message["wire"])[:MAX_WORD]
            problem = f"ml-intern {version()} speaks version {codec.WIRE} of the format, the client version {wire}"
            await self.refuse(UsageError(problem, "use the same version of ml-intern on both sides"), "wire_version")
            return False
        self._name = _word(message.get("name", self._name), "name")
        self.client = _word(message.get("client", self.client), "client")
        return True

    async def _perform(self, id: str | int, message: dict[str, Any]) -> None:
        verbs = [verb for verb in VERBS if verb in message]
        if len(verbs) != 1:
            raise UsageError("a line needs exactly one of do, get, call and watch", "see docs/wire.md")
        if verbs == ["do"]:
            await self._served.submit(self.client, str(id), self._signed(codec.decode_operation(message["do"])))
            await self._send({"id": id, "ok": True})
        elif verbs == ["watch"]:
            await self._start_watch(id, message["watch"])
        else:
            await self._requests.acquire()
            task = asyncio.create_task(self._answer(id, verbs[0], message))
            self._tasks.add(task)
            task.add_done_callback(self._answered)

    def _signed(self, operation: ops.Operation) -> ops.Operation:
        """Return the operation with the name of this client if it answers an approval, its id if it offers tools.

        Raises UsageError.
        """
        match operation:
            case ops.ExecApproval(device=device):
                return replace(operation, by=self._name, device=_word(device, "device") if device else "")
            case ops.OfferTools():
                return replace(operation, by=self.client)
            case _:
                return operation

    # --- requests

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._requests.release()
        self._tasks.discard(task)

    async def _answer(self, id: str | int, verb: str, message: dict[str, Any]) -> None:
        try:
            reply: dict[str, Any] = {"id": id, "value": await self._value(verb, message)}
        except MLInternError as error:
            reply = {"id": id, "error": codec.encode_error(error)}
        except Exception as error:  # noqa: BLE001 every error becomes one line, and its traceback goes to the log
            known = log_error(data_home(), self._served.session.thread_id, error)
            reply = {"id": id, "error": codec.encode_error(known)}
        with suppress(OSError):
            await self._send(reply)

    async def _value(self, verb: str, message: dict[str, Any]) -> Any:
        name = str(message[verb])[:MAX_WORD]
        request = REQUESTS.get(name)
        if request is None:
            raise UsageError(f"unknown request {name!r}", f"the requests are {', '.join(REQUESTS)}")
        if (verb == "call") != request.changes:
            raise UsageError(f"{name} is not a {verb}", f"use {'call' if request.changes else 'get'}")
        args = codec.checked(request.arguments, message.get("args", {}), name)
        value = request.answer(self._served.session, args)
        value = await value if isawaitable(value) else value
        if name in RESTS:
            await self._catch_up(self._served.tail.position)
        return codec.adapter(request.result).dump_python(value, mode="json")

    # --- events

    async def _start_watch(self, id: str | int, given: Any) -> None:
        after = given.get("after") if isinstance(given, dict) else 0.5
        if after is not None and (not isinstance(after, int) or isinstance(after, bool) or after < 0):
            raise UsageError("watch needs an object with `after`, a sequence number or null", "null: from now on")
        if self._watch is not None:
            raise UsageError("this connection watches already", "open another connection")
        wants_state, end = given.get("state", False), self._served.session.end
        state = self._served.current.events() if wants_state else []
        position = self._sent = self._served.tail.position_of(after)
        about = {"end": asdict(end) if end else None, "seq": self._served.tail.seq} if wants_state else {}
        await self._send({"id": id, "ok": True, **about})
        for event in state:
            await self._send({"event": codec.encode_event(event), "state": True})
        self._watch = asyncio.create_task(self._send_events(position))

    async def _send_events(self, position: int) -> None:
        tail = self._served.tail
        with suppress(OSError):
            while True:
                page = tail.after(position)
                if page.reset is not None:
                    await self._send({"reset": True, "seq": page.reset})
                for text in page.lines:
                    await self._write(text)
                position = page.position
                await self._note_sent(position)
                if tail.closed and tail.position == position:
                    return
                await tail.changed(position)

    async def _note_sent(self, position: int) -> None:
        async with self._sent_more:
            self._sent = position
            self._sent_more.notify_all()

    async def _catch_up(self, position: int) -> None:
        """Wait until the watch of this connection, if there is one, has sent the events up to `position`."""
        if self._watch is not None:
            async with self._sent_more:
                await self._sent_more.wait_for(lambda: self._sent >= position)

    # --- writing

    async def _send(self, value: dict[str, Any]) -> None:
        await self._write(codec.line(value))

    async def _write(self, text: bytes) -> None:
        """Write a line. A client that does not read delays only itself."""
        async with self._sending:
            self._writer.write(text)
            await self._writer.drain()


def _id(message: dict[str, Any]) -> str | int:
    id = message.get("id")
    if isinstance(id, bool) or not isinstance(id, str | int) or len(str(id)) > MAX_WORD:
        raise UsageError(f"a line needs an id, a number or a text of at most {MAX_WORD} characters", "")
    return id


def _word(value: Any, what: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_WORD or not value.isprintable():
        raise UsageError(f"{what} is not a text of at most {MAX_WORD} printable characters", "")
    return value
