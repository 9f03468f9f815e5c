"""Server-sent events of OpenAI-compatible streams: bytes in, decoded JSON objects out."""

import json
from collections.abc import AsyncIterator
from typing import Any

MAX_LINE = 64 * 1024 * 1024


class InvalidEvents(ValueError):
    """The stream contains something that is not a JSON object."""


class DoneMark:
    """The end mark of the stream, `data: [DONE]`."""


DONE = DoneMark()


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any] | DoneMark]:
    """Yield the data of each event. Only LF and CRLF end a line: JSON may contain the other Unicode separators.

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
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
        if len(rest) > MAX_LINE:
            raise InvalidEvents("a line of the stream is too long")
    if rest:
        yield rest.removesuffix(b"\r")


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
