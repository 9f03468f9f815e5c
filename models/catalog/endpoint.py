"""The catalogue of an endpoint at /models: context windows, prices, capabilities. Each is fetched once."""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from urllib.parse import urlsplit

from ml_intern.models.catalog.abilities import UNKNOWN, Abilities
from ml_intern.models.catalog.local_servers import DIALECTS, EVERY, ReportedModel, server_named
from ml_intern.models.catalog.prices import Price, Rates
from ml_intern.models.routing import Route

_WINDOW_KEYS = ("context_length", "max_model_len", "max_context_length", "context_window", "n_ctx", "n_ctx_train")
_PER_MILLION = 1_000_000
TIMEOUT_S = 5
RETRY_S = 10
MAX_RETRIES = 3
"""How often, at most, an endpoint without a catalogue is asked again with later requests: it may be starting."""


@dataclass(frozen=True)
class CatalogEntry:
    """One model of an endpoint. `prices` is by serving provider; "" is the endpoint itself."""

    id: str
    window: int | None = None
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])
    abilities: Abilities = UNKNOWN
    serving: "Mapping[str, CatalogEntry]" = field(default_factory=dict[str, "CatalogEntry"])
    """The variant of each provider behind a router."""

    def price(self, served_by: str | None) -> Price | None:
        """Return the price of the provider that served. Without its name, the price if all have the same one."""
        if served_by and served_by in self.prices:
            return self.prices[served_by]
        asked = set(self.prices.values())
        return asked.pop() if len(asked) == 1 else None


class JsonSource(Protocol):
    """Fetches JSON from an endpoint."""

    async def get(self, route: Route, path: str) -> Any:
        """Return the decoded JSON at a path, or None."""
        ...


class Catalogues:
    """The catalogues of endpoints, fetched in the background on first use."""

    def __init__(self, reader: JsonSource) -> None:
        self._reader = reader
        self._fetches: dict[str, asyncio.Task[dict[str, CatalogEntry]]] = {}
        self._renewed = set[str]()
        self._silent: dict[str, list[float]] = defaultdict(list)
        """The monotonic times at which an endpoint sent no catalogue."""
        self._servers: dict[str, str] = {}
        """The kind of local server at each base URL that identified itself as one."""

    def start(self, route: Route) -> None:
        """Start to fetch the catalogue of a route's endpoint, unless that was started before."""
        silent = self._silent.get(route.base_url or "", [])
        if silent and len(silent) < MAX_RETRIES and time.monotonic() > silent[-1] + RETRY_S:
            self._fetches.pop(route.base_url or "", None)
        if route.base_url and route.base_url not in self._fetches:
            self._fetches[route.base_url] = asyncio.create_task(self._fetch(route))

    async def offers(self, route: Route) -> dict[str, CatalogEntry]:
        """Return the models of a route's endpoint by name. Empty without an answer within five seconds."""
        self.start(route)
        fetch = self._fetches.get(route.base_url or "")
        if fetch is None:
            return {}
        done, _ = await asyncio.wait([fetch], timeout=TIMEOUT_S)
        return fetch.result() if done and not fetch.cancelled() else {}

    def server(self, route: Route) -> str:
        """Return the kind of local server that a route's endpoint identified itself as, or ""."""
        return self._servers.get(route.base_url or "", "")

    def pending(self, route: Route) -> bool:
        """Return whether the catalogue of a route's endpoint has been requested and has not arrived."""
        fetch = self._fetches.get(route.base_url or "")
        return fetch is not None and not fetch.done()

    def known(self, route: Route) -> CatalogEntry | None:
        """Return the catalogue entry of a route's model if it is already known."""
        return offer_of(self.arrived(route), route)

    def arrived(self, route: Route) -> Mapping[str, CatalogEntry]:
        """Return the models of a route's endpoint as far as they are already known."""
        fetch = self._fetches.get(route.base_url or "")
        return {} if fetch is None or not fetch.done() or fetch.cancelled() else fetch.result()

    def forget(self, route: Route) -> None:
        """Ask a route's endpoint again the next time."""
        if fetch := self._fetches.pop(route.base_url or "", None):
            fetch.cancel()

    async def close(self) -> None:
        """Cancel all requests."""
        for fetch in self._fetches.values():
            fetch.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)
        self._fetches.clear()

    def renew(self, route: Route) -> None:
        """Ask a local server once more if it did not report the window: now the model is loaded."""
        offer = self.known(route)
        if route.is_loopback and offer is not None and offer.window is None and route.base_url not in self._renewed:
            self._renewed.add(route.base_url or "")
            self._fetches.pop(route.base_url or "")
            self.start(route)

    async def _fetch(self, route: Route) -> dict[str, CatalogEntry]:
        answer = await self._reader.get(route, "/models")
        if answer is None:
            self._silent[route.base_url or ""].append(time.monotonic())
        offers = read_catalogue(answer)
        if not (offers and route.is_private):
            return offers
        name, report = await self._identify(route, answer)
        if not name:
            return offers
        self._servers[route.base_url or ""] = name
        reported = DIALECTS[name].read(report)
        known = {name: _merged(offer, reported.get(name) or reported.get(EVERY)) for name, offer in offers.items()}
        # A server that reports on EVERY model has one, and accepts any name for it.
        return known | ({EVERY: next(iter(known.values()))} if EVERY in reported else {})

    async def _identify(self, route: Route, catalogue: Any) -> tuple[str, Any]:
        """Return the kind of a server on this machine or network, and its own report. "" when it is none of them.

        The prefix of the model id or its catalogue may name it. Otherwise every kind's own address is asked at once.
        """
        parts = urlsplit(route.base_url or "")
        root = replace(route, base_url=f"{parts.scheme}://{parts.netloc}")
        known = server_named(route.provider, catalogue)
        names = [known] if known else [name for name, dialect in DIALECTS.items() if not dialect.needs_owner]
        reports = await asyncio.gather(*(self._reader.get(root, DIALECTS[name].path) for name in names))
        for name, report in zip(names, reports, strict=True):
            if name == route.provider or DIALECTS[name].recognises(report):
                return name, report
        return "", None


def offer_of(offers: Mapping[str, CatalogEntry], route: Route) -> CatalogEntry | None:
    """Return the entry of a route's model. `org/model:provider` is that provider's variant of `org/model`."""
    if route.name in offers:
        return offers[route.name]
    base, _, provider = route.name.rpartition(":")
    offer = offers.get(base) or offers.get(EVERY)
    return offer.serving.get(provider, offer) if offer else None  # ":fastest" and the like are not providers


def read_catalogue(answer: Any) -> dict[str, CatalogEntry]:
    """Parse a /models response in any of the known shapes."""
    entries = answer.get("data") if isinstance(answer, Mapping) else None
    if not isinstance(entries, list):
        return {}
    models = [entry for entry in entries if isinstance(entry, Mapping) and isinstance(entry.get("id"), str)]
    return {entry["id"]: _offer(entry) for entry in models}


def _offer(entry: Mapping[str, Any]) -> CatalogEntry:
    id, images = entry["id"], _sees(entry)
    serving = {
        str(one.get("provider")): CatalogEntry(
            id, _window(one), _prices({"providers": [one]}), Abilities(_calls(one), images)
        )
        for one in _serving(entry)
    }
    calling = {_calls(one) for one in [*_serving(entry)] or [entry]}
    tools = calling.pop() if len(calling) == 1 else None
    return CatalogEntry(id, _window(entry), _prices(entry), Abilities(tools, images), serving)


def _merged(offer: CatalogEntry, reported: ReportedModel | None) -> CatalogEntry:
    """Return the entry with the additional details the server reported."""
    if reported is None:
        return offer
    new, old = reported.abilities, offer.abilities
    abilities = Abilities(*(a if a is not None else b for a, b in ((new.tools, old.tools), (new.images, old.images))))
    return replace(offer, window=reported.window or offer.window, abilities=abilities)


def _window(entry: Mapping[str, Any]) -> int | None:
    """Return the window. With several providers behind one name, the smallest: any of them may serve."""
    meta = entry.get("meta")
    places = [entry, meta if isinstance(meta, Mapping) else {}, *_serving(entry)]
    found = [
        place[key] for place in places for key in _WINDOW_KEYS if isinstance(place.get(key), int) and place[key] > 0
    ]
    return min(found, default=None)


def _sees(entry: Mapping[str, Any]) -> bool | None:
    """Return whether the model accepts images, from the fields of routers and of Mistral."""
    architecture = entry.get("architecture")
    modalities = architecture.get("input_modalities") if isinstance(architecture, Mapping) else None
    return "image" in modalities if isinstance(modalities, list) else _capability(entry, "vision")


def _calls(entry: Mapping[str, Any]) -> bool | None:
    """Return whether the model calls tools, from the fields of the Hugging Face router, OpenRouter and Mistral."""
    supported, parameters = entry.get("supports_tools"), entry.get("supported_parameters")
    if isinstance(supported, bool):
        return supported
    return "tools" in parameters if isinstance(parameters, list) else _capability(entry, "function_calling")


def _capability(entry: Mapping[str, Any], name: str) -> bool | None:
    capabilities = entry.get("capabilities")
    value = capabilities.get(name) if isinstance(capabilities, Mapping) else None
    return value if isinstance(value, bool) else None


def _prices(entry: Mapping[str, Any]) -> dict[str, Price]:
    prices = {str(one.get("provider")): _price(one.get("pricing"), _PER_MILLION) for one in _serving(entry)}
    prices[""] = _price(entry.get("pricing"), 1)
    return {name: price for name, price in prices.items() if price}


def _serving(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the live providers behind a name, as the Hugging Face router lists them."""
    providers = entry.get("providers")
    listed = providers if isinstance(providers, list) else []
    return [one for one in listed if isinstance(one, Mapping) and one.get("status", "live") == "live"]


def _price(pricing: Any, per: int) -> Price | None:
    """Parse prices: {input, output} per million tokens, or {prompt, completion} per token."""
    if not isinstance(pricing, Mapping):
        return None
    values = [pricing.get("input", pricing.get("prompt")), pricing.get("output", pricing.get("completion"))]
    try:
        read, written = (float(value) / per for value in values if value is not None)
    except (TypeError, ValueError, OverflowError):
        return None
    valid = all(math.isfinite(rate) and rate >= 0 for rate in (read, written))
    return Price((Rates(read, written),)) if valid else None
