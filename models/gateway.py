"""The gateway to every model: route, ledger, transport, retries, price. Policies of the agent loop live in nodes/."""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from configs.errors import ModelUnknown
from graph.events import Emit
from graph.state import estimate_tokens
from models.catalogue import Catalogues, offer_of
from models.direct import DirectTransport
from models.faults import BadRequest, ContextOverflow, Retryable, Stalled, StreamBroken
from models.messages import repaired
from models.openai_format import visible
from models.prices import Price, longest_output_of, price_of, window_of
from models.reply import Draft
from models.request import CallPart as CallPart
from models.request import ModelReply as ModelReply
from models.request import ModelRequest as ModelRequest
from models.request import Part as Part
from models.request import Usage as Usage
from models.retry import Patience
from models.routing import Endpoint, Route, find_route, nearest_models
from models.transport import Transport, Trimming, Waits
from store.ledger import Worst

if TYPE_CHECKING:
    from store.ledger import Ledger

PLAINEST = Trimming(options=True, reasoning=True)


LONGEST_REPLY = 8_192
"""Output tokens reserved for a reply when neither the request nor the table sets a limit."""
LONGEST_KNOWN_REPLY = 32_000
"""Output tokens reserved at most: no transport asks for more."""
SCHEMA_TOKENS = 3_000
"""Input tokens reserved for the schemas of the tools."""


class Models:
    """Calls models by id. One instance serves a session; close it in the event loop it was used in."""

    def __init__(
        self,
        ledger: "Ledger",
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        waits: Waits | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._ledger = ledger
        self._endpoint = Endpoint(base_url, api_key_env) if base_url else None
        self._waits = waits or Waits()
        self._environ = os.environ if environ is None else environ
        self._direct = DirectTransport(self._waits)
        self._catalogues = Catalogues(self._direct)
        self._transports: dict[str, Transport] = {"direct": self._direct}
        self._windows: dict[str, int] = {}
        self._trimmings: dict[str, Trimming] = {}

    def route(self, model: str) -> Route:
        """How a model id is called. Raises ModelUnknown, KeyMissing or ConfigurationError."""
        return find_route(model, self._environ, self._endpoint)

    def window(self, model: str) -> int | None:
        """The context window in tokens: as an overflow named it, else as a catalogue or the table says."""
        route = self.route(model)
        learned = self._windows.get(model)
        if learned is None and (offer := self._catalogues.known(route)):
            learned = offer.window
        return learned or (window_of(model) if route.transport == "litellm" else None)

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """One reply. Passing faults are waited out, each wait one `error` event; cancelling stops at once.

        Raises what `route` raises, and ContextOverflow, ProviderUnavailable, ModelFailed (BadRequest, Refused),
        QuotaExhausted.
        """
        route = self.route(request.model)
        patience, trimming = Patience(self._waits), self._trimmings.get(request.model, Trimming())
        if route.provider == "hub":
            self._catalogues.start(route)
        while True:
            try:
                reply = await self._attempt(route, request, trimming, emit)
            except Retryable as fault:
                seconds = patience.wait_after(fault)
                _tell_wait(emit, fault.message, seconds)
                await asyncio.sleep(seconds)
            except BadRequest as error:
                request, trimming = plainer(request, trimming, error)
                _tell_wait(emit, f"{error.message}; trying once more with a plainer request", 0.0)
            except ContextOverflow as overflow:
                self._windows |= {request.model: overflow.tokens} if overflow.tokens else {}
                raise
            except ModelUnknown as error:
                raise await self._with_nearest(route, error) from error
            else:
                self._trimmings[request.model] = trimming
                return reply

    async def close(self) -> None:
        """Close every connection and stop what runs in the background."""
        await self._catalogues.close()
        for transport in self._transports.values():
            await transport.close()

    async def _attempt(self, route: Route, request: ModelRequest, trimming: Trimming, emit: Emit) -> ModelReply:
        worst = Worst(await self._worst(route, request), request.cap_usd) if request.cap_usd is not None else None
        entry = await self._ledger.reserve(request.thread_id, request.root_id, request.source, request.model, worst)
        draft = Draft(f"msg_{uuid4().hex}")
        try:
            await self._receive(self._transport(route).stream(route, request, trimming), request, draft, emit)
        except BaseException as error:
            if request.stream and not draft.is_empty:
                emit("assistant_stream_end", message_id=draft.message_id, partial=True)
            await self._ledger.fail(entry, type(error).__name__, _cost_of_failure(error, draft))
            raise
        return await self._settled(entry, route, request, draft, emit)

    async def _receive(
        self, stream: AsyncGenerator[Part, None], request: ModelRequest, draft: Draft, emit: Emit
    ) -> None:
        async with aclosing(stream) as parts:
            async for part in parts:
                draft.add(part)
                if request.stream:
                    _show(part, draft.message_id, emit)
        if request.stream:
            emit("assistant_stream_end", message_id=draft.message_id, partial=False)

    async def _settled(self, entry: int, route: Route, request: ModelRequest, draft: Draft, emit: Emit) -> ModelReply:
        usage = draft.usage or draft.estimate(request.messages)
        cost = await self._cost(route, usage)
        totals = await self._ledger.settle(entry, usage, cost)
        emit(
            "usage",
            model=request.model,
            source=request.source,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cost_usd=cost,
            total_cost_usd=totals.cost_usd,
        )
        if route.transport == "direct":
            self._catalogues.start(route)
        message = draft.message(request.model, usage, request.known_call_ids)
        return ModelReply(message, usage, draft.finish_reason(), cost)

    async def _cost(self, route: Route, usage: Usage) -> float | None:
        """US dollars of a call: what the provider says, else by price; None when either is unknown."""
        if usage.cost_usd is not None or route.free:
            return usage.cost_usd or 0.0
        price = None if usage.estimated else await self._price(route, usage.served_by)
        return price.cost(usage) if price else None

    async def _worst(self, route: Route, request: ModelRequest) -> float | None:
        """The most the request may cost, in US dollars; None when its price is unknown."""
        if route.free:
            return 0.0
        price = await self._price(route, None)
        known = longest_output_of(route.model) if route.transport == "litellm" else None
        longest = int(request.params.get("max_tokens") or min(known or LONGEST_REPLY, LONGEST_KNOWN_REPLY))
        return price.cost(Usage(estimate_tokens(request.messages) * 4 // 3 + SCHEMA_TOKENS, longest)) if price else None

    async def _price(self, route: Route, served_by: str | None) -> Price | None:
        if route.provider == "hub":
            offer = offer_of(await self._catalogues.offers(route), route)
            return offer.price(served_by) if offer else None
        return price_of(route.model) if route.transport == "litellm" else None

    async def _with_nearest(self, route: Route, error: ModelUnknown) -> ModelUnknown:
        known = list(await self._catalogues.offers(route)) if route.transport == "direct" else None
        near = nearest_models(route, known)
        return ModelUnknown(error.message, f"nearest: {', '.join(near)}; {error.remedy}") if near else error

    def _transport(self, route: Route) -> Transport:
        if route.transport not in self._transports:
            self._transports[route.transport] = _open_transport(route, self._waits)
        return self._transports[route.transport]


def plainer(request: ModelRequest, trimming: Trimming, error: BadRequest) -> tuple[ModelRequest, Trimming]:
    """A plainer form of a rejected request: its history repaired, then without options. Raises the error after that."""
    messages = repaired(request.messages)
    if [*map(id, messages)] != [*map(id, request.messages)]:
        return replace(request, messages=messages), trimming
    if trimming == PLAINEST:
        raise error
    return request, PLAINEST


def _open_transport(route: Route, waits: Waits) -> Transport:
    """Imported here: a run needs one of them, and litellm takes seconds."""
    if route.transport == "scripted":
        from models.scripted import ScriptedTransport

        return ScriptedTransport()
    from models.litellm_transport import LiteLLMTransport

    return LiteLLMTransport(waits)


def _show(part: Part, message_id: str, emit: Emit) -> None:
    for kind, text in (("reasoning", part.reasoning), ("text", part.text)):
        if text:
            emit("assistant_chunk", message_id=message_id, kind=kind, text=visible(text))


def _tell_wait(emit: Emit, message: str, seconds: float) -> None:
    emit("error", message=message, remedy="", exit_code=None, retry_in_s=round(seconds, 1))


def _cost_of_failure(error: BaseException, draft: Draft) -> float | None:
    """Nothing for a request the provider turned down; unknown for one it may have worked on."""
    worked = isinstance(error, Stalled | StreamBroken | asyncio.CancelledError) or not draft.is_empty
    return None if worked else 0.0
