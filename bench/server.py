"""A model server on loopback that answers at once, every reply encoded before it is asked for.

It speaks OpenAI's chat completions, at /responses the Responses API and at /messages Anthropic's Messages API.

Reply i calls bash with the i-th command; after the last command the reply is a text. GET /records gives the times, in
seconds of the machine's monotonic clock, at which request i was wholly received and reply i wholly sent.
"""

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field

LINE = "step {i:04d}.%02d loss 0.4821 lr 3.0e-04 grad 1.02 tokens/s 51234"


def command(i: int) -> str:
    """A bash command that prints 2 KB (32 lines of 64 characters) and takes no time."""
    line = LINE.format(i=i).ljust(65)
    return f"printf '{line}\\n' {{1..32}}"


def _chunks(i: int, iterations: int) -> list[dict[str, object]]:
    if i >= iterations:
        delta: dict[str, object] = {"content": "Done."}
        finish = "stop"
    else:
        call = {"name": "bash", "arguments": json.dumps({"command": command(i)})}
        calls = [{"index": 0, "id": f"call_{i}", "type": "function", "function": call}]
        delta = {"content": f"Step {i}.", "tool_calls": calls}
        finish = "tool_calls"
    usage = {"prompt_tokens": 1000 + 100 * i, "completion_tokens": 40, "total_tokens": 1040 + 100 * i}
    return [
        {"choices": [{"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {"choices": [], "usage": usage},
    ]


def _event_stream(i: int, iterations: int) -> bytes:
    common = {"id": f"chatcmpl-{i}", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    lines = [f"data: {json.dumps(common | chunk)}\n\n" for chunk in _chunks(i, iterations)]
    body = "".join([*lines, "data: [DONE]\n\n"]).encode()
    return _response(body, "text/event-stream")


def _events(i: int, iterations: int) -> bytes:
    """Reply i in the Responses API, with a call of the tool of Codex."""
    if i >= iterations:
        item: dict[str, object] = {
            "type": "message",
            "role": "assistant",
            "id": f"msg_{i}",
            "content": [{"type": "output_text", "text": "Done."}],
        }
    else:
        call = {"name": "exec_command", "arguments": json.dumps({"cmd": command(i), "login": False})}
        item = {"type": "function_call", "id": f"fc_{i}", "call_id": f"call_{i}", **call}
    usage = {"input_tokens": 1000 + 100 * i, "output_tokens": 40, "total_tokens": 1040 + 100 * i}
    events: list[dict[str, object]] = [
        {"type": "response.created", "response": {"id": f"resp_{i}"}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": f"resp_{i}", "usage": usage}},
    ]
    lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
    return _response("".join(lines).encode(), "text/event-stream")


def _messages(i: int, iterations: int) -> bytes:
    """Reply i in Anthropic's Messages API."""
    text = f"Step {i}." if i < iterations else "Done."
    usage = {"input_tokens": 1000 + 100 * i, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    message = {"id": f"msg_{i}", "type": "message", "role": "assistant", "model": "bench", "content": []}
    blocks: list[tuple[dict[str, object], dict[str, object]]] = [
        ({"type": "text", "text": ""}, {"type": "text_delta", "text": text})
    ]
    if i < iterations:
        call: dict[str, object] = {"type": "tool_use", "id": f"toolu_{i}", "name": "bash", "input": {}}
        blocks.append((call, {"type": "input_json_delta", "partial_json": json.dumps({"command": command(i)})}))
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": {**message, "usage": {**usage, "output_tokens": 1}}}
    ]
    for index, (start, delta) in enumerate(blocks):
        events += [
            {"type": "content_block_start", "index": index, "content_block": start},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    stop = {"stop_reason": "tool_use" if i < iterations else "end_turn", "stop_sequence": None}
    events += [{"type": "message_delta", "delta": stop, "usage": {"output_tokens": 40}}, {"type": "message_stop"}]
    lines = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
    return _response("".join(lines).encode(), "text/event-stream")


def _response(body: bytes, kind: str = "application/json") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Server:
    """The replies and the times of one run."""

    iterations: int
    replies: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    """The replies by the last part of the path."""
    received: list[float] = field(default_factory=list[float])
    sent: list[float] = field(default_factory=list[float])
    sizes: list[int] = field(default_factory=list[int])

    def __post_init__(self) -> None:
        makers = {"completions": _event_stream, "responses": _events, "messages": _messages}
        for name, make in makers.items():
            self.replies[name] = [make(i, self.iterations) for i in range(self.iterations + 1)]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await _head(reader):
                await self._answer(head, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the agent closed its connection, as it may
        finally:
            writer.close()

    async def _answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = await _body(head, reader)
        if head.startswith("POST"):
            path = head.split()[1].partition("?")[0]
            await self._complete(body, writer, self.replies[path.rpartition("/")[2]])
            return
        records = {"received": self.received, "sent": self.sent, "sizes": self.sizes}
        answer = records if head.startswith("GET /records") else {"object": "list", "data": [{"id": "bench"}]}
        writer.write(_response(json.dumps(answer).encode()))
        await writer.drain()

    async def _complete(self, body: bytes, writer: asyncio.StreamWriter, replies: list[bytes]) -> None:
        self.received.append(time.monotonic())
        self.sizes.append(len(body))
        writer.write(replies[min(len(self.received) - 1, self.iterations)])
        await writer.drain()
        self.sent.append(time.monotonic())


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


async def _body(head: str, reader: asyncio.StreamReader) -> bytes:
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    body = b""
    while "chunked" in headers.get("transfer-encoding", "") and (size := int(await reader.readline(), 16)):
        body += await reader.readexactly(size)
        await reader.readline()
    return body


async def main(iterations: int) -> None:
    """Serve until the process is ended; the first line on stdout is the port."""
    listener = await asyncio.start_server(Server(iterations).serve, "127.0.0.1", 0, limit=2**26)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await listener.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--iterations", type=int, default=300)
    asyncio.run(main(parser.parse_args().iterations))
