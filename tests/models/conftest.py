import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from ml_intern.graph.events import Emit, emitter
from ml_intern.models.gateway import ModelReply, ModelRequest, Models
from ml_intern.models.routing import Endpoint
from ml_intern.models.transports.base import Timeouts
from ml_intern.store.store import Store
from tests.fakes.model_server import FakeModelServer

PROVIDER_OF = {"litellm": "hosted_vllm", "openai sdk": "openai"}
"""litellm speaks to most providers by itself and to some through OpenAI's SDK: the same promises hold."""
QUICK = Timeouts(connect_s=5, idle_s=5, whole_s=5, retries=3, first_backoff_s=0.01, max_backoff_s=0.02)
IMPATIENT = replace(QUICK, patience_s=0.05)
"""Waits that give up an outage soon."""
TOOLS = [{"type": "function", "function": {"name": "bash", "parameters": {"type": "object", "properties": {}}}}]


class Bench:
    """Models before a fake server, and what they emitted."""

    def __init__(self, server: FakeModelServer, store: Store, models: Models, model: str) -> None:
        self.server = server
        self.store = store
        self.models = models
        self.model = model
        self.events: list[dict[str, Any]] = []
        self._happened: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    @property
    def emit(self) -> Emit:
        return emitter(self._write)

    def _write(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self._happened[event["type"]].set()

    async def until(self, type: str) -> None:
        """Wait for the first event of a type."""
        await self._happened[type].wait()

    def request(self, **fields: Any) -> ModelRequest:
        messages = [SystemMessage("be brief"), HumanMessage("hello")]
        return ModelRequest(**{"model": self.model, "messages": messages, "thread_id": "t", "root_id": "t"} | fields)

    async def ask(self, **fields: Any) -> ModelReply:
        return await self.models.complete(self.request(**fields), self.emit)

    def data(self, type: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["type"] == type]

    def shown(self, kind: str = "text") -> str:
        return "".join(chunk["text"] for chunk in self.data("assistant_chunk") if chunk["kind"] == kind)


@pytest.fixture
def server() -> Iterator[FakeModelServer]:
    with FakeModelServer() as running:
        yield running


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with await Store.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
async def open_bench(server: FakeModelServer, store: Store) -> AsyncIterator[Callable[..., Bench]]:
    opened: list[Models] = []

    def make(transport: str = "direct", waits: Timeouts = QUICK, url: str = server.url) -> Bench:
        if transport == "anthropic":
            environ = {"ANTHROPIC_API_KEY": "sk-very-secret", "ANTHROPIC_API_BASE": url}
            models = Models(store.ledger, waits=waits, environ=environ)
            opened.append(models)
            return Bench(server, store, models, "anthropic/fake")
        if transport == "direct":
            models = Models(store.ledger, Endpoint(url, "THE_KEY"), waits, {"THE_KEY": "sk-very-secret"})
        else:
            variable = PROVIDER_OF[transport].upper()
            environ = {f"{variable}_API_BASE": url, f"{variable}_API_KEY": "sk-very-secret"}
            models = Models(store.ledger, waits=waits, environ=environ)
        opened.append(models)
        return Bench(server, store, models, "fake" if transport == "direct" else f"{PROVIDER_OF[transport]}/fake")

    yield make
    for models in opened:
        await models.close()


@pytest.fixture(params=["direct", "anthropic", "litellm", "openai sdk"])
def bench(request: pytest.FixtureRequest, open_bench: Callable[..., Bench]) -> Bench:
    """The same promises hold for all transports."""
    return open_bench(request.param)


@pytest.fixture(params=["direct", "litellm", "openai sdk"])
def chat(request: pytest.FixtureRequest, open_bench: Callable[..., Bench]) -> Bench:
    """The transports that speak OpenAI's chat completions."""
    return open_bench(request.param)


@pytest.fixture
def direct(open_bench: Callable[..., Bench]) -> Bench:
    return open_bench("direct")
