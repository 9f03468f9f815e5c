"""Replies that go on without content are stalls, and the content of a stream decides how it is read."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from itertools import repeat

import pytest

from ml_intern.models.transports.sse import DONE, events
from tests.fakes.model_server import Reply, chunks, event
from tests.models.conftest import QUICK, Bench

PATIENT = replace(QUICK, idle_s=0.5)
"""A stream may be silent for ten pauses of the fake server."""


def stream_of(text: str) -> bytes:
    return b"".join(map(event, chunks(Reply(text=text)))) + b"data: [DONE]\n\n"


def keepalives() -> Iterator[bytes]:
    return repeat(b": keepalive\n\n", 1200)


def empty_fragments() -> Iterator[bytes]:
    return repeat(event(chunks(Reply())[0]), 1200)


def trickle() -> Iterator[bytes]:
    """A reply whose fragments arrive just before the stream would count as silent, byte by byte."""
    fragment = event(chunks(Reply(text="x"))[1])
    size = len(fragment) // 8 + 1
    for _ in range(150):
        yield from (fragment[at : at + size] for at in range(0, len(fragment), size))


@pytest.mark.parametrize("pieces", [keepalives, empty_fragments, trickle])
async def test_a_reply_without_content_is_a_stall(
    open_bench: Callable[..., Bench], pieces: Callable[[], Iterator[bytes]]
) -> None:
    bench = open_bench("direct", PATIENT)
    bench.server.say(Reply(pieces=pieces), Reply(text="finished"))

    assert (await bench.ask()).message.content == "finished"
    assert "sent no content for 0.5 s" in bench.data("error")[0]["message"]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "", "text/event-stream"])
@pytest.mark.parametrize("start", [b"", b": comment\n\n", b"\n\n", b"\xef\xbb\xbf", b"event: message\n", b"retry: 5\n"])
async def test_events_are_read_whatever_the_content_type(direct: Bench, kind: str, start: bytes) -> None:
    direct.server.say(Reply(body=start + stream_of("hello there"), headers={"content-type": kind} if kind else {}))

    assert (await direct.ask()).message.content == "hello there"
    assert direct.data("error") == []


async def test_a_whole_reply_is_read_whatever_the_content_type(direct: Bench) -> None:
    body = json.dumps({"choices": [{"message": {"content": "not streamed"}, "finish_reason": "stop"}]}).encode()
    direct.server.say(Reply(body=b"\n " + body, headers={"content-type": "text/event-stream"}))

    assert (await direct.ask()).message.content == "not streamed"


@pytest.mark.parametrize("end", [b"\r", b"\r\n", b"\n"])
@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_every_line_end_is_understood_however_the_bytes_are_cut(end: bytes, size: int) -> None:
    text = "line ends and \u2028 separators"
    body = stream_of(text).replace(b"\n", end)

    async def cut() -> AsyncIterator[bytes]:
        for at in range(0, len(body), size):
            yield body[at : at + size]

    assert [one async for one in events(cut())] == [*chunks(Reply(text=text)), DONE]
