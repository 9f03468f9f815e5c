"""`doctor --probe`: test a model's reply, streaming, tool call and context window, and report the cost."""

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
from ml_intern.text.formatting import plural, spent

if TYPE_CHECKING:
    from ml_intern.models.gateway import ModelReply, Models
    from ml_intern.store.store import Store

SHOWN = 80
PROBE_PATIENCE_S = 5.0
"""Seconds for which a probe waits for a model that does not answer."""
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
"""Size of the request that finds the context window of a local server from its error message."""
FILLING_SECONDS = 60

Happened = tuple[str, float, Mapping[str, Any]]
"""An event: its type, its arrival (monotonic seconds) and its data."""


@dataclass
class Probe:
    """The requests of one probe and their events."""

    store: "Store"
    models: "Models"
    model: str
    events: list[tuple[str, float, Mapping[str, Any]]] = field(
        default_factory=list[tuple[str, float, Mapping[str, Any]]]
    )

    async def run(self, found: dict[str, str]) -> None:
        """Add each result to `found` as soon as it is known. Raises the error that stops the model from answering."""
        try:
            found["reply"] = await self.reply()
            found["streaming"] = await self._streaming()
            found["tool call"] = await self._tool_call()
            found["window"] = await self._window()
        finally:
            found |= {
                f"wait {place}": text for place, text in enumerate(self._event_texts("error", "message"), start=1)
            }
            found["cost"] = await self.cost()

    async def reply(self) -> str:
        """Request a complete reply and return its text and duration."""
        began = time.monotonic()
        reply = await self._ask("Answer with the one word: ready", stream=False)
        return f"{_shown(reply)} after {time.monotonic() - began:.1f} s"

    async def _streaming(self) -> str:
        began = time.monotonic()
        await self._ask("Count from one to ten, in words.")
        pieces = [at for type, at, _ in self.events if type == "assistant_chunk" and at >= began]
        if len(pieces) < 2:
            return "no: the reply came in one piece"
        return f"yes: {plural(len(pieces), 'piece')}, the first after {pieces[0] - began:.1f} s"

    async def _tool_call(self) -> str:
        try:
            reply = await self._ask(f"Call the tool {TOOL} with the word: ready", tools=TOOLS)
        except MLInternError as error:
            return f"no: {error.message}"
        by_text = self.models.calls_by_text(self.model)
        if not reply.message.tool_calls:
            how = "it does not support tool calling, and asked by text it" if by_text else "it"
            return f"no: {how} answered {_shown(reply)}"
        invalid = reply.message.additional_kwargs.get("invalid_calls", {})
        if problem := next((one["error"] for one in invalid.values()), ""):
            return f"no: {problem}"
        call = reply.message.tool_calls[0]
        return f"{'by text' if by_text else 'yes'}: {call['name']} {call['args']}"

    async def _window(self) -> str:
        route = self.models.route(self.model)
        if window := self.models.window(self.model):
            return f"{window:,} tokens, from {'its server' if route.transport == 'direct' else 'the model table'}"
        if not route.is_loopback:
            return "unknown until a conversation exceeds it"
        return await self._filled()

    async def _filled(self) -> str:
        from ml_intern.models.errors import ContextOverflow

        try:
            async with asyncio.timeout(FILLING_SECONDS):
                reply = await self._ask("word " * FILLING_TOKENS, params={"max_tokens": 1})
        except ContextOverflow as overflow:
            return f"{overflow.tokens:,} tokens, from its error message" if overflow.tokens else overflow.message
        except TimeoutError:
            return f"unknown: no answer to {FILLING_TOKENS:,} tokens after {FILLING_SECONDS} s"
        except MLInternError as error:
            return f"unknown: {error.message}"
        read = reply.usage.input_tokens
        if reply.usage.estimated or read >= FILLING_TOKENS:
            return f"over {FILLING_TOKENS:,} tokens, unless it truncates its input silently"
        return f"{read:,} tokens; it truncates longer input silently"

    async def _ask(self, text: str, **fields: Any) -> "ModelReply":
        from langchain_core.messages import HumanMessage

        from ml_intern.models.gateway import ModelRequest

        request = ModelRequest(self.model, [HumanMessage(text, id="probe")], thread_id="probe", root_id="probe")
        return await self.models.complete(replace(request, **fields), self._emit)

    def _emit(self, type: str, /, **data: Any) -> None:
        self.events.append((type, time.monotonic(), data))

    def _event_texts(self, type: str, key: str) -> list[str]:
        return [str(data[key]) for name, _, data in self.events if name == type]

    async def cost(self) -> str:
        """Return the cost and tokens of the requests so far."""
        used = await self.store.ledger.total("probe")
        cost = spent(used.cost_usd, used.unpriced_requests)
        requests = plural(used.requests, "request")
        return f"{cost}: {requests}, {plural(used.input_tokens, 'token')} in, {used.output_tokens:,} out"


async def probe(loaded: Loaded, options: Options, found: dict[str, str]) -> MLInternError | None:
    """Probe the model, add the results to `found`, and return the error that stops it from answering, if any."""
    try:
        async with _probing(loaded, options) as one:
            await one.run(found)
    except MLInternError as error:
        found.setdefault("reply", f"failed: {error}")
        return error
    return None


async def first_word(model: str) -> str:
    """Ask a model for one word and return its answer, the duration and the cost. Raises the call's MLInternError."""
    from ml_intern.models.gateway import Models
    from ml_intern.models.transports.base import Timeouts

    async with open_store(ephemeral=True) as store:
        models = Models(store.ledger, waits=Timeouts(retries=1, patience_s=PROBE_PATIENCE_S))
        try:
            one = Probe(store, models, model)
            return f"{await one.reply()} ({await one.cost()})"
        finally:
            await models.close()


@asynccontextmanager
async def _probing(loaded: Loaded, options: Options) -> AsyncIterator[Probe]:
    from ml_intern.models.gateway import Models, ModelSettings
    from ml_intern.models.transports.base import Timeouts

    async with open_store(ephemeral=True) as store:
        model, _ = choose_model(loaded, options.base_url)
        waits = Timeouts(patience_s=PROBE_PATIENCE_S)
        settings = ModelSettings(loaded.settings.named_prices, only_litellm=loaded.settings.transport == "litellm")
        models = Models(store.ledger, endpoint_of(options.request(), model), waits, settings=settings)
        try:
            yield Probe(store, models, model)
        finally:
            await models.close()


def _shown(reply: "ModelReply") -> str:
    return repr(reply.message.text.strip()[:SHOWN])
