"""What one streamed model call costs beside the model: 600 messages, 700 kB, a server on loopback that answers at once.

Plain httpx posting the same JSON is the yardstick; the direct transport may take 10 ms more, litellm's 25. "New" is the
first call with a conversation, "again" a later one that has grown by a call and its result, as in an agent's turn.
Run: `uv run python -m bench.calls [MESSAGES]`
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from bench.process import model_server
from ml_intern.graph.events import emitter
from ml_intern.models.gateway import ModelRequest, Models
from ml_intern.models.messages import convert
from ml_intern.models.routing import Endpoint
from ml_intern.models.transports.base import WHOLE, Timeouts
from ml_intern.store.store import Store
from ml_intern.tools.registry import create_builtin_tools, openai_schemas

MESSAGES = 600
RESULT = "x" * 2_100
CALLS = 60
ALLOWED = {"direct": 10.0, "litellm": 25.0}
"""Milliseconds over plain httpx."""
SCHEMAS = openai_schemas(create_builtin_tools())
Call = Callable[[list[AnyMessage]], Awaitable[None]]


def grown(messages: list[AnyMessage]) -> list[AnyMessage]:
    """The conversation with one more call and its result."""
    place = len(messages)
    call = {"name": "bash", "args": {"command": f"step {place} {'y' * 120}"}, "id": f"call_{place}"}
    reply = AIMessage("One step.", id=f"m{place}", tool_calls=[call])
    return [*messages, reply, ToolMessage(RESULT, tool_call_id=call["id"], id=f"m{place}:r")]


def conversation(count: int) -> list[AnyMessage]:
    messages: list[AnyMessage] = [SystemMessage("be brief " * 500, id="system"), HumanMessage("go", id="user")]
    while len(messages) < count:
        messages = grown(messages)
    return messages


async def measured(call: Call, count: int) -> tuple[float, float]:
    """Milliseconds of the first call with a conversation, and the median of those that follow as it grows."""
    messages, taken = conversation(count), []
    await call(messages[:2])  # imports and connections are made once
    for _ in range(CALLS + 1):
        began = time.perf_counter()
        await call(messages)
        taken.append(1000 * (time.perf_counter() - began))
        messages = grown(messages)
    return taken[0], statistics.median(taken[1:])


async def plain(base: str, client: httpx.AsyncClient, messages: list[AnyMessage]) -> None:
    wire = [part for message in messages for part in convert(message)]
    body = {"model": "bench", "messages": wire, "tools": SCHEMAS, "stream": True}
    began = time.perf_counter()
    async with client.stream("POST", f"{base}/v1/chat/completions", json=body) as response:
        async for _ in response.aiter_bytes():
            pass
    plain_times.append(1000 * (time.perf_counter() - began))


plain_times: list[float] = []


@asynccontextmanager
async def gateway(base: str, model: str) -> AsyncIterator[tuple[Call, Call]]:
    """A call of the transport alone, and one through the gateway with its ledger."""
    os.environ["DEEPSEEK_API_KEY"], os.environ["DEEPSEEK_API_BASE"] = "bench", f"{base}/v1"
    endpoint = Endpoint(f"{base}/v1", "NO_KEY") if model == "bench" else None
    emit = emitter(lambda _: None)
    with tempfile.TemporaryDirectory() as home:
        async with await Store.open(Path(home)) as store:
            models = Models(store.ledger, endpoint, Timeouts(retries=0, patience_s=0))
            route = models.route(model)

            async def sent(messages: list[AnyMessage]) -> None:
                request = ModelRequest(model, messages, SCHEMAS)
                async for _ in models._transport(route).stream(route, request, WHOLE):
                    pass

            async def complete(messages: list[AnyMessage]) -> None:
                await models.complete(ModelRequest(model, messages, SCHEMAS, thread_id="t", root_id="t"), emit)

            try:
                yield sent, complete
            finally:
                await models.close()


def show(name: str, new: float, again: float, over: float | None = None, allowed: float | None = None) -> None:
    limit = f"  over httpx {over:6.1f}, allowed {allowed:g}" if allowed is not None and over is not None else ""
    print(f"{name:32} new {new:7.1f} ms   again {again:7.1f} ms{limit}", flush=True)


async def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else MESSAGES
    size = sum(len(str(part)) for message in conversation(count) for part in convert(message))
    print(f"{count} messages, {size / 1000:.0f} kB, {len(SCHEMAS)} tools")
    with model_server(0) as base:
        async with httpx.AsyncClient(trust_env=False) as client:
            await measured(lambda messages: plain(base, client, messages), count)
        yardstick = statistics.median(plain_times[2:])
        show("plain httpx", plain_times[1], yardstick)
        for name, model in (("direct", "bench"), ("litellm", "deepseek/bench")):
            async with gateway(base, model) as (sent, complete):
                new, again = await measured(sent, count)
                show(f"{name} transport", new, again, again - yardstick, ALLOWED[name])
                show(f"{name}, with gateway and ledger", *await measured(complete, count))


if __name__ == "__main__":
    asyncio.run(main())
