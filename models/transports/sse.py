"""Server-sent events of OpenAI-compatible streams: bytes in, decoded JSON objects out."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

MAX_LINE = 64 * 1024 * 1024
_MARK = b"\xef\xbb\xbf"
"""A byte order mark, which may precede the first line."""
_FIELD = re.compile(rb"(?:data|event|id|retry)?:")
_FIELD_BYTES = len(b"event:")


class InvalidEvents(ValueError):
    """The stream contains something that is not a JSON object."""


class DoneMark:
    """The end mark of the stream, `data: [DONE]`."""


DONE = DoneMark()


class Body:
    """The chunks of a body, whose beginning can be looked at before they are read."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._start = b""

    async def start(self) -> bytes:
        """Return the first bytes without blanks and byte order mark, enough to recognise the kind of the body."""
        while len(found := self._start.removeprefix(_MARK).lstrip()) < _FIELD_BYTES:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                break
            self._start += chunk
        return found

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield all chunks, those looked at included."""
        if self._start:
            yield self._start.removeprefix(_MARK)
        async for chunk in self._chunks:
            yield chunk


def are_events(start: bytes, content_type: str) -> bool:
    """Return whether a body that starts like this consists of events. The content type decides if the start cannot."""
    if start and _FIELD.match(start):
        return True
    return "text/event-stream" in content_type and not start.startswith((b"{", b"[", b"<", b'"'))


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any] | DoneMark]:
    """Yield the data of each event. Only LF, CRLF and CR end a line: JSON may contain the other Unicode separators.

    Raises InvalidEvents on data that is not a JSON object, and on a line over 64 MiB.
    """
    data: list[bytes] = []
    async for line in _lines(chunks):
        if line.startswith(b"data:"):
            data.append(line[5:].strip())
        elif not line and data:
            yield _decoded(b"\n".join(data))
            data = []
    if data:
        yield _decoded(b"\n".join(data))


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    pieces, length, after_cr = list[bytes](), 0, False
    async for chunk in chunks:
        content = chunk[1:] if after_cr and chunk.startswith(b"\n") else chunk
        after_cr = chunk.endswith(b"\r")
        for line in content.splitlines(keepends=True):
            pieces.append(line.rstrip(b"\r\n"))
            length += len(line)
            if line.endswith((b"\r", b"\n")):
                yield b"".join(pieces)
                pieces, length = [], 0
        if length > MAX_LINE:
            raise InvalidEvents("a line of the stream is too long")
    if pieces:
        yield b"".join(pieces)


def _decoded(data: bytes) -> dict[str, Any] | DoneMark:
    if data == b"[DONE]":
        return DONE
    try:
        value = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise InvalidEvents(f"invalid JSON in the stream: {error}") from error
    if not isinstance(value, dict):
        raise InvalidEvents("the stream contains something other than JSON objects")
    return value
