"""What an endpoint says about its models at /models: names, windows and prices. Asked once; silence means unknown."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from models.prices import Price, Rates
from models.routing import Route

_WINDOW_KEYS = ("context_length", "max_model_len", "max_context_length", "context_window", "n_ctx", "n_ctx_train")
_PER_MILLION = 1_000_000
PATIENCE_S = 5


@dataclass(frozen=True)
class Offer:
    """One model of an endpoint. `prices` is by serving provider; "" is the endpoint itself."""

    id: str
    window: int | None = None
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])

    def price(self, served_by: str | None) -> Price | None:
        """The price of the provider that served; without its name, the one price all of them ask, if they do."""
        if served_by and served_by in self.prices:
            return self.prices[served_by]
        asked = set(self.prices.values())
        return asked.pop() if len(asked) == 1 else None


class Reader(Protocol):
    """Fetches the JSON at a path of an endpoint, or None."""

    async def get(self, route: Route, path: str) -> Any:
        """The decoded answer."""
        ...


class Catalogues:
    """The catalogue of each endpoint, fetched in the background on first use."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._fetches: dict[str, asyncio.Task[dict[str, Offer]]] = {}

    def start(self, route: Route) -> None:
        """Begin to fetch the catalogue of a route's endpoint unless that has begun."""
        if route.base_url and route.base_url not in self._fetches:
            self._fetches[route.base_url] = asyncio.create_task(self._fetch(route))

    async def offers(self, route: Route) -> dict[str, Offer]:
        """The models of a route's endpoint by name; empty when it does not tell within five seconds."""
        self.start(route)
        fetch = self._fetches.get(route.base_url or "")
        if fetch is None:
            return {}
        done, _ = await asyncio.wait([fetch], timeout=PATIENCE_S)
        return fetch.result() if done and not fetch.cancelled() else {}

    def known(self, route: Route) -> Offer | None:
        """What is known of a route's model now, without waiting."""
        fetch = self._fetches.get(route.base_url or "")
        if fetch is None or not fetch.done() or fetch.cancelled():
            return None
        return offer_of(fetch.result(), route)

    async def close(self) -> None:
        """Stop what is being fetched."""
        for fetch in self._fetches.values():
            fetch.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)
        self._fetches.clear()

    async def _fetch(self, route: Route) -> dict[str, Offer]:
        return read_catalogue(await self._reader.get(route, "/models"))


def offer_of(offers: Mapping[str, Offer], route: Route) -> Offer | None:
    """The offer for a route's model; `org/model:provider` is that provider's part of `org/model`."""
    if route.name in offers:
        return offers[route.name]
    base, _, provider = route.name.rpartition(":")
    offer = offers.get(base)
    if offer is None:
        return None
    return Offer(offer.id, offer.window, {name: price for name, price in offer.prices.items() if name == provider})


def read_catalogue(answer: Any) -> dict[str, Offer]:
    """The offers in a /models answer of any of the shapes in use."""
    entries = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(entries, list):
        return {}
    models = [entry for entry in entries if isinstance(entry, Mapping) and isinstance(entry.get("id"), str)]
    return {entry["id"]: Offer(entry["id"], _window(entry), _prices(entry)) for entry in models}


def _window(entry: Mapping[str, Any]) -> int | None:
    """The window; with several providers behind one name, the smallest, since any of them may serve."""
    meta = entry.get("meta")
    places = [entry, meta if isinstance(meta, Mapping) else {}, *_serving(entry)]
    found = [
        place[key] for place in places for key in _WINDOW_KEYS if isinstance(place.get(key), int) and place[key] > 0
    ]
    return min(found, default=None)


def _prices(entry: Mapping[str, Any]) -> dict[str, Price]:
    prices = {str(one.get("provider")): _price(one.get("pricing"), _PER_MILLION) for one in _serving(entry)}
    prices[""] = _price(entry.get("pricing"), 1)
    return {name: price for name, price in prices.items() if price}


def _serving(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The providers behind a name that serve it now (the Hugging Face router lists them)."""
    providers = entry.get("providers")
    listed = providers if isinstance(providers, list) else []
    return [one for one in listed if isinstance(one, Mapping) and one.get("status", "live") == "live"]


def _price(pricing: Any, per: int) -> Price | None:
    """Dollars per million tokens as {input, output}, or per token as {prompt, completion}."""
    if not isinstance(pricing, Mapping):
        return None
    values = [pricing.get("input", pricing.get("prompt")), pricing.get("output", pricing.get("completion"))]
    try:
        read, written = (float(value) / per for value in values if value is not None)
    except (TypeError, ValueError, OverflowError):
        return None
    sound = all(math.isfinite(rate) and rate >= 0 for rate in (read, written))
    return Price((Rates(read, written),)) if sound else None
