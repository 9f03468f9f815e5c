"""Server-sent events with OpenAI's chunks in them: bytes in, decoded JSON objects out."""

import json
from collections.abc import AsyncIterator
from typing import Any

MAX_LINE = 64 * 1024 * 1024


class BrokenEvents(ValueError):
    """The stream holds something that is no JSON object."""


class DoneMark:
    """The stream's own end mark, `data: [DONE]`."""


DONE = DoneMark()


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any] | DoneMark]:
    """The data of each event. Only LF and CRLF end a line: JSON may hold the other separators of Unicode as they are.

    Raises BrokenEvents on data that is no JSON object, or on a line beyond 64 MiB.
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
            raise BrokenEvents("a line of the stream is too long")
    if rest:
        yield rest.removesuffix(b"\r")


def _decoded(data: bytes) -> dict[str, Any] | DoneMark:
    if data == b"[DONE]":
        return DONE
    try:
        value = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise BrokenEvents(f"the stream holds no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BrokenEvents("the stream holds something other than JSON objects")
    return value
