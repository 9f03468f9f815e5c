"""Reader: the client of the process that reads threads. The process is started again if it ends."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from ml_intern.configs.errors import MLInternError, TemporaryError
from ml_intern.outbound.conversation import Conversation
from ml_intern.server.web.watching.processes import PROCESSES
from ml_intern.session.wire import codec
from ml_intern.session.wire.children import ChildProcess
from ml_intern.session.wire.lines import BoundedLines
from ml_intern.session.wire.link import MAX_REPLY

PROGRAM = "ml_intern.server.web.watching.reader_process"


class Reader:
    """Sends requests to the reading process and waits for their replies."""

    def __init__(self) -> None:
        self._process: ChildProcess | None = None
        self._starting = asyncio.Lock()
        self._pending: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_id = 0
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process unless it runs. It answers as soon as it has imported what it needs."""
        async with self._starting:
            if self._process is None:
                self._process = await PROCESSES.start(PROGRAM)
                self._reading = asyncio.create_task(self._read(self._process))

    async def close(self) -> None:
        """End the process."""
        if self._process is not None and self._reading is not None:
            self._process.writer.write_eof()
            await self._reading

    async def request(self, action: str, **args: Any) -> Any:
        """Return the result of an action of reader_process.ACTIONS. Raises its errors, and TemporaryError."""
        await self.start()
        self._last_id += 1
        id, reply = self._last_id, asyncio.get_running_loop().create_future()
        self._pending[id] = reply
        try:
            await self._send({"id": id, "do": action, "args": args})
            answer = await reply
        finally:
            self._pending.pop(id, None)
        if "error" in answer:
            raise codec.decode_error(answer["error"])
        return answer["value"]

    async def get(self, thread: str, name: str, **args: Any) -> Any:
        """Return the result of a request of the wire about a thread. Raises its errors, and TemporaryError."""
        return await self.request("get", thread=thread, name=name, args=args)

    async def conversation(self, thread: str) -> Conversation:
        """Return the whole conversation of a thread. Raises UsageError before its first turn."""
        value = await self.get(thread, "conversation")
        return await asyncio.to_thread(codec.adapter(Conversation).validate_python, value)

    async def _send(self, message: dict[str, Any]) -> None:
        process = self._process
        if process is None:
            raise _ended()
        try:
            process.writer.write(json.dumps(message).encode() + b"\n")
            await process.writer.drain()
        except OSError as error:
            raise _ended() from error

    async def _read(self, process: ChildProcess) -> None:
        lines = BoundedLines(process.reader, MAX_REPLY)
        with suppress(OSError):
            while (text := await lines.next()) is not None:
                answer = json.loads(text)
                reply = self._pending.get(answer["id"])
                if reply is not None and not reply.done():
                    reply.set_result(answer)
        self._process = None
        process.writer.close()
        for reply in self._pending.values():
            if not reply.done():
                reply.set_exception(_ended())


def _ended() -> MLInternError:
    return TemporaryError("the process that reads threads has ended", "try again")
