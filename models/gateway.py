"""The gateway to all models: route, ledger, transport, retries, price. Policies of the agent loop are in nodes/."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from langchain_core.messages import HumanMessage

from ml_intern.configs.errors import ConfigurationError, KeyMissing, MLInternError, ModelUnknown, ProviderUnavailable
from ml_intern.graph.events import Emit
from ml_intern.graph.limits import PATIENCE_S, UNLIMITED
from ml_intern.graph.state import estimate_tokens
from ml_intern.models.catalog.abilities import Abilities
from ml_intern.models.catalog.endpoint import Catalogues, read_catalogue
from ml_intern.models.catalog.knowledge import Knowledge, prices_named
from ml_intern.models.catalog.lifecycle import Retirement, retirements
from ml_intern.models.catalog.prices import FREE, MAX_OUTPUT
from ml_intern.models.errors import (
    BadRequest,
    ContextOverflow,
    NotAnApi,
    QuotaExhausted,
    Retryable,
    ServerError,
    Stalled,
    StreamBroken,
)
from ml_intern.models.messages import has_images, repaired
from ml_intern.models.openai_format import visible
from ml_intern.models.reply import Draft
from ml_intern.models.request import CallPart as CallPart
from ml_intern.models.request import ModelReply as ModelReply
from ml_intern.models.request import ModelRequest as ModelRequest
from ml_intern.models.request import ReplyPart as ReplyPart
from ml_intern.models.request import Usage as Usage
from ml_intern.models.retry import RetryPolicy
from ml_intern.models.routing import Endpoint, Route, catalogue_route, find_route, named_hub_token, shown_url
from ml_intern.models.text_calls import as_text, with_calls
from ml_intern.models.transports.base import Timeouts, Transport, Trimming
from ml_intern.models.transports.direct import DirectTransport
from ml_intern.models.transports.http import HttpConnections
from ml_intern.models.transports.openai_chat import ChatCompletions
from ml_intern.store.ledger import CostReservation

if TYPE_CHECKING:
    from ml_intern.graph.context import RunOptions
    from ml_intern.store.ledger import Ledger

FALLBACK_AFTER_S = PATIENCE_S
"""Seconds after which the fallback model is used instead of a model that does not answer."""
SCHEMA_TOKENS = 3_000
"""Input tokens reserved for the schemas of the tools."""


@dataclass(frozen=True)
class ModelSettings:
    """The settings about models in general."""

    prices: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Prices by model id or base URL, see configs/settings.py."""
    text_calls: bool = False
    """Every model calls tools by text."""
    only_litellm: bool = False
    """litellm calls every provider, also those that ml-intern can call directly."""


DEFAULTS = ModelSettings()


class Models:
    """Call models by id. One instance serves a session; close it in the event loop that used it."""

    def __init__(
        self,
        ledger: "Ledger",
        endpoint: Endpoint | None = None,
        waits: Timeouts | None = None,
        environ: Mapping[str, str] | None = None,
        settings: ModelSettings = DEFAULTS,
    ) -> None:
        self._ledger = ledger
        self.endpoint = endpoint
        self._waits = waits or Timeouts()
        self._environ = os.environ if environ is None else environ
        self._settings = settings
        self._connections = HttpConnections(self._waits)
        self._catalogues = Catalogues(self._connections)
        self._transports: dict[str, Transport] = {"direct": DirectTransport(self._connections, ChatCompletions())}
        self.known = Knowledge(self._catalogues, prices=prices_named(settings.prices), text_calls=settings.text_calls)
        self._answered: set[str] = set()
        """Endpoints that answered in this process."""
        self._down: set[str] = set()
        """Models that were replaced by their fallback: they get one attempt instead of ten."""

    def route(self, model: str) -> Route:
        """Return the route of a model id. Raises ModelUnknown, KeyMissing or ConfigurationError."""
        route = find_route(model, self._environ, self.endpoint, only_litellm=self._settings.only_litellm)
        if route.transport == "scripted" and not Path(route.name).expanduser().is_file():
            problem = f"cannot read the script {route.name}: no such file"
            raise ConfigurationError(problem, "check the path after scripted:")
        return route

    def window(self, model: str) -> int | None:
        """Return the context window in tokens, or None while it is unknown."""
        return self.known.window(self.route(model))

    def abilities(self, model: str) -> Abilities:
        """Return the capabilities of a model that are known now."""
        return self.known.abilities(self.route(model))

    def calls_by_text(self, model: str) -> bool:
        """Return whether a model calls tools by text, since it does not support tool calling or the settings say so."""
        return self.known.calls_by_text(self.route(model))

    def retired(self, models: Iterable[str | None], today: date) -> list[Retirement]:
        """Return the retired ones of some models, as far as they are requested from their own provider."""
        return [one for one in retirements(models, today) if self.route(one.model).is_hosted]

    async def expect(self, options: "RunOptions") -> None:
        """Check that each model of a run has a route, and ask local servers about theirs.

        Raises what `check` does.
        """
        agents = filter(None, (options.model, options.research_model, options.fallback_model))
        for model in agents:
            if self.route(model).is_loopback:
                await self.check(model)
        if options.compact_model:
            self.route(options.compact_model)
        await self.expect_prices(options)

    async def expect_prices(self, options: "RunOptions") -> None:
        """Look up the prices of a run's models if it has a budget.

        Unattended or strict runs wait for an endpoint that has not answered yet; others wait for servers nearby.
        Raises ConfigurationError for a model of unknown price if the budget is strict.
        """
        if options.max_budget_usd == UNLIMITED:
            return
        for model in options.models:
            route = self.route(model)
            if options.headless or options.strict_budget or route.is_private:
                await self.known.price(route)
        if options.strict_budget and (unpriced := self.unpriced(options)):
            raise unpriced_refused(self.route(unpriced[0]))

    def unpriced(self, options: "RunOptions") -> list[str]:
        """Return the models of a run that a budget cannot limit in dollars, since their price is unknown."""
        if options.max_budget_usd == UNLIMITED:
            return []
        routes = [self.route(model) for model in options.models]
        return [
            one.model for one in routes if self.known.known_price(one) is None and not self._catalogues.pending(one)
        ]

    async def listed_by(self, prefix: str) -> list[str] | None:
        """Return the names that a provider lists now, or None if it has no list. Raises the errors of a call."""
        route = catalogue_route(prefix, self._environ)
        try:
            return [*read_catalogue(await self._connections.fetch(route, "/models"))] or None if route else None
        except (ModelUnknown, BadRequest):  # it has no such address
            return None

    async def why_unlisted(self, route: Route) -> str:
        """Return why an endpoint did not list its models; "" if it answers now."""
        try:
            await self._connections.fetch(route, "/models")
        except (Retryable, MLInternError) as error:
            return str(error)
        return ""

    def unlisted(self, options: "RunOptions") -> list[str]:
        """Return a line for each model of a run that its endpoint or the price table does not list."""
        routes = [self.route(model) for model in options.models]
        return [self.known.unlisted(one) for one in routes if not self.known.is_listed(one)]

    async def check_chosen(self, model: str) -> None:
        """Check a model that the user switches to. Raises as `check`, and ModelUnknown if its endpoint lacks it."""
        await self.check(model)
        route = self.route(model)
        if route.transport == "direct" and not self.known.is_listed(route):
            self._catalogues.forget(route)  # the model may have been added since
            await self.known.offers(route)
        if route.transport == "direct" and not self.known.is_listed(route):
            raise ModelUnknown(self.known.unlisted(route), route.hint)

    async def check(self, model: str) -> None:
        """Ask the model's endpoint about it. Raises as `route`."""
        await self.known.offers(self.route(model))

    async def complete(self, request: ModelRequest, emit: Emit) -> ModelReply:
        """Return one reply. Temporary errors are retried after a wait, with an `error` event; cancelling stops at once.

        Raises as `route`, and ContextOverflow, ProviderUnavailable, ModelFailed (BadRequest, Refused),
        QuotaExhausted.
        """
        if not request.fallback or request.fallback == request.model:
            return await self._complete(request, emit, RetryPolicy(self._waits))
        try:
            reply = await self._complete(request, emit, RetryPolicy(self._waits_before_fallback(request.model)))
        except (ProviderUnavailable, QuotaExhausted, ModelUnknown) as error:
            self._down.add(request.model)
            _emit_error(emit, f"{error.message}; using the fallback model {request.fallback}")
            return await self._complete(replace(request, model=request.fallback), emit, RetryPolicy(self._waits))
        self._down.discard(request.model)
        return reply

    def _waits_before_fallback(self, model: str) -> Timeouts:
        if model in self._down:
            return replace(self._waits, retries=0, patience_s=0)
        return replace(self._waits, patience_s=min(self._waits.patience_s, FALLBACK_AFTER_S))

    async def _complete(self, request: ModelRequest, emit: Emit, patience: RetryPolicy) -> ModelReply:
        route = self.route(request.model)
        await self._prepare(route)
        trimming = self.known.trimming(route)
        while True:
            try:
                reply = await self._try_once(route, request, trimming, emit)
            except Retryable as error:
                seconds = patience.wait_after(error, has_answered=route.where in self._answered)
                _emit_error(emit, f"{error.message}{patience.announcement}", seconds)
                await asyncio.sleep(seconds)
            except BadRequest as error:
                request, trimming, how = await self._simplify(route, request, trimming, error, emit)
                _emit_error(emit, f"{error.message}; trying once more {how}")
            except KeyMissing:
                old, route = route, await self._renew_token(route)
                if old.key == route.key:
                    raise
            else:
                self._answered.add(route.where)
                self.known.trimmings[request.model] = trimming
                self._catalogues.renew(route)
                return reply

    async def _try_once(self, route: Route, request: ModelRequest, trimming: Trimming, emit: Emit) -> ModelReply:
        """Make one attempt. Record the window an overflow names; add the closest model names to an unknown id."""
        try:
            return await self._attempt(route, request, trimming, emit)
        except ContextOverflow as overflow:
            self.known.windows[request.model] = overflow.tokens or self._guessed_window(route, request)
            raise
        except NotAnApi as error:  # once it has answered, a proxy or a login page of the network is in between
            if route.where not in self._answered:
                raise
            raise ServerError(error.message) from error
        except ModelUnknown as error:
            raise await self.known.with_nearest(route, error) from error

    def _guessed_window(self, route: Route, request: ModelRequest) -> int:
        """Estimate a window the overflow did not name: below what did not fit, and lower each time."""
        sent = estimate_tokens(request.messages) + len(json.dumps(request.tools)) // 4
        known = self.known.window(route)
        return min(sent, known or sent) * 3 // 4

    async def _renew_token(self, route: Route) -> Route:
        """Return the route with a new token if the Hub login had expired and its library renewed it."""
        if route.provider != "hub" or self._environ is not os.environ or named_hub_token(self._environ):
            return route
        from huggingface_hub import get_token

        await asyncio.to_thread(get_token)
        return self.route(route.model)

    async def _prepare(self, route: Route) -> None:
        """Ask the endpoint about its models, once. For a local server, wait for the answer."""
        if route.transport == "direct":
            self._catalogues.start(route)
            if route.is_loopback:
                await self._catalogues.offers(route)

    async def _simplify(
        self, route: Route, request: ModelRequest, trimming: Trimming, error: BadRequest, emit: Emit
    ) -> tuple[ModelRequest, Trimming, str]:
        """Return a simpler form of a rejected request, and what was changed. Raises the error when there is none.

        Servers reject tools in different words: a request without tools that succeeds shows that they are the reason.
        From then on the model calls tools by text.
        """
        found = simplified(request, trimming, sees=self.known.abilities(route).images)
        if found is not None or not request.tools or self.known.calls_by_text(route):
            if found is None:
                raise error
            return found
        bare = replace(request, tools=(), messages=[HumanMessage("Say: ready", id="bare")], stream=False)
        try:
            await self._attempt(route, bare, trimming, emit)
        except (Retryable, MLInternError):
            raise error from None
        self.known.without_tools.add(request.model)
        return request, trimming, f"with tools called by text: {route.name} does not support tool calling"

    def acting(self, model: str, fallback: str | None) -> str:
        """Return the model that is used now: the model itself or its fallback."""
        return fallback if fallback and model in self._down else model

    async def close(self) -> None:
        """Close all connections and stop background requests."""
        await self._catalogues.close()
        for transport in self._transports.values():
            await transport.close()
        await self._connections.close()

    async def _attempt(self, route: Route, request: ModelRequest, trimming: Trimming, emit: Emit) -> ModelReply:
        worst = (
            CostReservation(await self._worst(route, request), request.cap_usd) if request.cap_usd is not None else None
        )
        entry = await self._ledger.reserve(request.thread_id, request.root_id, request.source, request.model, worst)
        draft = Draft(f"msg_{uuid4().hex}")
        try:
            await self._receive(self._stream(route, request, trimming), request, draft, emit)
        except BaseException as error:
            if request.stream and not draft.is_empty:
                emit("assistant_stream_end", message_id=draft.message_id, partial=True)
            await self._ledger.fail(entry, type(error).__name__, self._cost_of_failure(route, error, draft))
            raise
        return await self._settle(entry, route, request, draft, emit)

    def _stream(self, route: Route, request: ModelRequest, trimming: Trimming) -> AsyncGenerator[ReplyPart, None]:
        """Return the fragments of one reply. A model without tool calling gets the tools as text."""
        transport = self._transport(route)
        if not self.known.calls_by_text(route):
            return transport.stream(route, request, trimming)
        return with_calls(transport.stream(route, as_text(request), trimming), request.tools)

    async def _receive(
        self, stream: AsyncGenerator[ReplyPart, None], request: ModelRequest, draft: Draft, emit: Emit
    ) -> None:
        async with aclosing(stream) as parts:
            async for part in parts:
                draft.add(part)
                if request.stream:
                    _show(part, draft.message_id, emit)
        if request.stream:
            emit("assistant_stream_end", message_id=draft.message_id, partial=False)

    async def _settle(self, entry: int, route: Route, request: ModelRequest, draft: Draft, emit: Emit) -> ModelReply:
        usage = draft.usage or draft.estimate(request.messages, request.tools)
        cost = await self._cost(route, usage)
        totals = await self._ledger.settle(entry, usage, cost)
        emit(
            "usage",
            model=request.model,
            source=request.source,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cost_usd=cost,
            total_cost_usd=totals.cost_usd,
        )
        message = draft.message(request.model, usage, request.known_call_ids)
        return ModelReply(message, usage, draft.finish_reason(), cost)

    async def _cost(self, route: Route, usage: Usage) -> float | None:
        """Return the cost of a call in US dollars: the provider's figure, or by price. None when unknown."""
        if usage.cost_usd is not None and self.known.price_named(route) is None:
            return usage.cost_usd
        price = await self.known.price(route, usage.served_by)
        cost = price.cost(usage) if price else None
        return None if cost and usage.estimated else cost

    def _cost_of_failure(self, route: Route, error: BaseException, draft: Draft) -> float | None:
        """Return 0 if the provider rejected the request or the model is free, None (unknown) if it may be charged."""
        worked = isinstance(error, Stalled | StreamBroken | asyncio.CancelledError) or not draft.is_empty
        return None if worked and self.known.known_price(route) != FREE else 0.0

    async def _worst(self, route: Route, request: ModelRequest) -> float | None:
        """Return the maximum cost of the request in US dollars. None when its price is unknown."""
        price, known = await self.known.price(route), self.known.longest_output(route)
        asked = request.params.get("max_tokens")
        longest = asked if isinstance(asked, int) else min(known or MAX_OUTPUT, MAX_OUTPUT)
        return price.cost(Usage(estimate_tokens(request.messages) * 4 // 3 + SCHEMA_TOKENS, longest)) if price else None

    def _transport(self, route: Route) -> Transport:
        if route.transport not in self._transports:
            self._transports[route.transport] = _open_transport(route, self._connections)
        return self._transports[route.transport]


def simplified(
    request: ModelRequest, trimming: Trimming, *, sees: bool | None
) -> tuple[ModelRequest, Trimming, str] | None:
    """Return a simpler form of a rejected request and what was changed, or None. `sees`: the model accepts images."""
    messages = repaired(request.messages)
    if [*map(id, messages)] != [*map(id, request.messages)]:
        return replace(request, messages=messages), trimming, "with a repaired conversation"
    if not sees and not trimming.images and has_images(request.messages):
        return request, replace(trimming, images=True), "without images, which this model may not accept"
    if not (trimming.options and trimming.reasoning):
        return request, replace(trimming, options=True, reasoning=True), "with a simpler request"
    return None


def price_key(route: Route) -> str:
    """Return the key of the setting `prices` that names the price of a route's model."""
    return shown_url(route.base_url) if route.provider == "endpoint" and route.base_url else route.model


def unpriced_refused(route: Route) -> ConfigurationError:
    """Return the error for a model of unknown price under a strict budget."""
    return ConfigurationError(
        f"no price is known for {route.model}, and the budget is strict",
        f"name its price: --set 'prices={{\"{price_key(route)}\": X}}' (US dollars per million tokens, 0 if free), "
        "choose another model, or use --max-budget-usd -1",
    )


def _open_transport(route: Route, connections: HttpConnections) -> Transport:
    """Import and create a transport: a run needs one of them, and importing litellm takes seconds."""
    if route.transport == "scripted":
        from ml_intern.models.transports.scripted import ScriptedTransport

        return ScriptedTransport()
    if route.transport == "anthropic":
        from ml_intern.models.transports.anthropic import Messages

        return DirectTransport(connections, Messages())
    from ml_intern.models.transports.litellm_transport import LiteLLMTransport

    return LiteLLMTransport(connections.waits)


def _show(part: ReplyPart, message_id: str, emit: Emit) -> None:
    for kind, text in (("reasoning", part.reasoning), ("text", part.text)):
        if text:
            emit("assistant_chunk", message_id=message_id, kind=kind, text=visible(text))


def _emit_error(emit: Emit, message: str, seconds: float = 0.0) -> None:
    emit("error", message=message, remedy="", exit_code=None, retry_in_s=round(seconds, 1))
