"""BoundedLines with a limit on their length, over the streams of asyncio."""

import asyncio

CHUNK = 65_536


class LineTooLong(Exception):
    """A line exceeds the limit. It was skipped."""


class BoundedLines:
    """Reads lines. A line over the limit is discarded while it arrives, and the next one can be read."""

    def __init__(self, reader: asyncio.StreamReader, limit: int) -> None:
        self._reader = reader
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0

    async def next(self) -> bytes | None:
        """Return the next line without its end; None at the end of the stream. Raises LineTooLong."""
        skipped = False
        while (end := self._buffer.find(b"\n", self._searched)) < 0:
            if skipped or len(self._buffer) > self._limit:
                skipped = True
                self._buffer.clear()
            self._searched = len(self._buffer)
            if not (chunk := await self._reader.read(CHUNK)):
                return None
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        if skipped or len(line) > self._limit:
            raise LineTooLong
        return line
