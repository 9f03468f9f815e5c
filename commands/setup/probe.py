"""What `doctor --probe` asks a model: a reply, a streamed one, a tool call, its window; and what that cost."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ml_intern.commands.options import Options
from ml_intern.configs.errors import MLInternError
from ml_intern.configs.layers import Loaded
from ml_intern.session.opening.model import choose_model, endpoint_of
from ml_intern.session.opening.store import open_store

if TYPE_CHECKING:
    from ml_intern.models.gateway import ModelReply, Models
    from ml_intern.store.store import Store

SHOWN = 80
TOOL = "say_ready"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "Say that you are ready.",
            "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
        },
    }
]
FILLING_TOKENS = 250_000
"""A server of the user's own that does not tell its window gets so much once: its refusal tells."""
FILLING_SECONDS = 60

Happened = tuple[str, float, Mapping[str, Any]]
"""An event: its type, when it came (monotonic seconds), its data."""


@dataclass
class Probe:
    """The requests of one probe and what came of them."""

    store: "Store"
    models: "Models"
    model: str
    events: list[tuple[str, float, Mapping[str, Any]]] = field(
        default_factory=list[tuple[str, float, Mapping[str, Any]]]
    )

    async def run(self, found: dict[str, str]) -> None:
        """Write each finding as it is made. Raises what stops the model from answering at all."""
        try:
            found["reply"] = await self.reply()
            found["streaming"] = await self._streaming()
            found["tool call"] = await self._tool_call()
            found["window"] = await self._window()
        finally:
            found |= {f"wait {place}": text for place, text in enumerate(self._told("error", "message"), start=1)}
            found["cost"] = await self.cost()

    async def reply(self) -> str:
        """A whole reply, and how long it took."""
        began = time.monotonic()
        reply = await self._ask("Answer with the one word: ready", stream=False)
        return f"{_shown(reply)} after {time.monotonic() - began:.1f} s"

    async def _streaming(self) -> str:
        began = time.monotonic()
        await self._ask("Count from one to ten, in words.")
        pieces = [at for type, at, _ in self.events if type == "assistant_chunk" and at >= began]
        if len(pieces) < 2:
            return "no: the reply came in one piece"
        return f"yes: {len(pieces)} pieces, the first after {pieces[0] - began:.1f} s"

    async def _tool_call(self) -> str:
        try:
            reply = await self._ask(f"Call the tool {TOOL} with the word: ready", tools=TOOLS)
        except MLInternError as error:
            return f"no: {error.message}"
        if not reply.message.tool_calls:
            return f"no: it answered {_shown(reply)}"
        invalid = reply.message.additional_kwargs.get("invalid_calls", {})
        if fault := next((one["error"] for one in invalid.values()), ""):
            return f"no: {fault}"
        call = reply.message.tool_calls[0]
        return f"yes: {call['name']} {call['args']}"

    async def _window(self) -> str:
        route = self.models.route(self.model)
        if window := self.models.window(self.model):
            return f"{window:,} tokens, as {'its server tells' if route.transport == 'direct' else 'the table has it'}"
        if not route.is_loopback:
            return "unknown until the conversation is too long for it"
        return await self._filled()

    async def _filled(self) -> str:
        from ml_intern.models.errors import ContextOverflow

        try:
            async with asyncio.timeout(FILLING_SECONDS):
                reply = await self._ask("word " * FILLING_TOKENS, params={"max_tokens": 1})
        except ContextOverflow as overflow:
            return f"{overflow.tokens:,} tokens, as its refusal tells" if overflow.tokens else overflow.message
        except TimeoutError:
            return f"unknown: {FILLING_TOKENS:,} tokens were still being read after {FILLING_SECONDS} s"
        except MLInternError as error:
            return f"unknown: {error.message}"
        read = reply.usage.input_tokens
        if reply.usage.estimated or read >= FILLING_TOKENS:
            return f"over {FILLING_TOKENS:,} tokens, if it read what it took"
        return f"{read:,} tokens; it drops what goes beyond without a word"

    async def _ask(self, text: str, **fields: Any) -> "ModelReply":
        from langchain_core.messages import HumanMessage

        from ml_intern.models.gateway import ModelRequest

        request = ModelRequest(self.model, [HumanMessage(text, id="probe")], thread_id="probe", root_id="probe")
        return await self.models.complete(replace(request, **fields), self._emit)

    def _emit(self, type: str, /, **data: Any) -> None:
        self.events.append((type, time.monotonic(), data))

    def _told(self, type: str, key: str) -> list[str]:
        return [str(data[key]) for name, _, data in self.events if name == type]

    async def cost(self) -> str:
        """What the requests so far cost."""
        from ml_intern.terminal.render.summary import money

        used = await self.store.ledger.total("probe")
        cost = money(None if used.unknown_cost_requests or used.open_requests else used.cost_usd)
        return f"{cost}: {used.requests} requests, {used.input_tokens} tokens in, {used.output_tokens} out"


async def probe(loaded: Loaded, options: Options, found: dict[str, str]) -> MLInternError | None:
    """Ask the model and write what was found; the fault that stops it from answering, if any."""
    try:
        async with _probing(loaded, options) as one:
            await one.run(found)
    except MLInternError as error:
        found.setdefault("reply", f"failed: {error}")
        return error
    return None


async def first_word(model: str) -> str:
    """What a model says when it is asked for one word, and what that took. Raises what the call does."""
    from ml_intern.models.gateway import Models
    from ml_intern.models.transports.base import Timeouts

    async with open_store(ephemeral=True) as store:
        models = Models(store.ledger, waits=Timeouts(retries=1))
        try:
            one = Probe(store, models, model)
            return f"{await one.reply()} ({await one.cost()})"
        finally:
            await models.close()


@asynccontextmanager
async def _probing(loaded: Loaded, options: Options) -> AsyncIterator[Probe]:
    from ml_intern.models.gateway import Models

    async with open_store(ephemeral=True) as store:
        model, _ = choose_model(loaded, options.base_url)
        models = Models(store.ledger, endpoint_of(options.request(), model))
        try:
            yield Probe(store, models, model)
        finally:
            await models.close()


def _shown(reply: "ModelReply") -> str:
    return repr(reply.message.text.strip()[:SHOWN])
