"""Known facts about models (window, price, capabilities), from errors, the endpoint's catalogue and the price table."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any
from urllib.parse import urlsplit

from ml_intern.configs.errors import ModelUnknown
from ml_intern.configs.providers import MODEL_PROVIDERS
from ml_intern.models.catalog.abilities import UNKNOWN, Abilities
from ml_intern.models.catalog.endpoint import CatalogEntry, Catalogues, offer_of
from ml_intern.models.catalog.lifecycle import retirement_of
from ml_intern.models.catalog.prices import FREE, Price, entry_of, names_of, price_set
from ml_intern.models.routing import Route, checked_url, nearest_models
from ml_intern.models.transports.base import Trimming


def prices_named(settings: Mapping[str, Any]) -> dict[str, Price]:
    """Return the prices of the settings by model id or comparable base URL."""
    return {_comparable(key) if "://" in key else key: price_set(value) for key, value in settings.items()}


def _comparable(url: str) -> str:
    """Return a base URL in the form in which two spellings of one address are equal."""
    parts = urlsplit(checked_url(url, url))
    host = {"localhost": "127.0.0.1", "::1": "127.0.0.1"}.get(parts.hostname or "", parts.hostname or "")
    return f"{parts.scheme}://{host}:{parts.port or ''}{parts.path}"


@dataclass
class Knowledge:
    """Facts about models. Only the asynchronous methods wait for the network."""

    catalogues: Catalogues
    windows: dict[str, int] = field(default_factory=dict[str, int])
    """Windows that an overflow named, by model id."""
    trimmings: dict[str, Trimming] = field(default_factory=dict[str, Trimming])
    """Parts left out of a model's requests because its provider rejected them."""
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])
    """Prices named in the settings, by model id or comparable base URL."""
    without_tools: set[str] = field(default_factory=set[str])
    """Models that reject requests with tools and accept them without."""
    text_calls: bool = False
    """Whether the settings say that tools are called by text."""

    def window(self, route: Route) -> int | None:
        """Return the context window in tokens, from an overflow, a catalogue or the table."""
        learned = self.windows.get(route.model)
        if learned is None and (offer := self.catalogues.known(route)):
            learned = offer.window
        return learned or (entry_of(route.model).window if route.is_hosted else None)

    def abilities(self, route: Route) -> Abilities:
        """Return the capabilities that are known now."""
        known = entry_of(route.model).abilities if route.is_hosted else UNKNOWN
        if route.transport == "direct" and (offer := self.catalogues.known(route)):
            known = offer.abilities
        if self.trimmings.get(route.model, Trimming()).images:
            known = replace(known, images=False)
        return replace(known, tools=False) if route.model in self.without_tools else known

    def calls_by_text(self, route: Route) -> bool:
        """Return whether a model calls tools by text. The price table alone does not decide it."""
        unable = route.transport == "direct" and self.abilities(route).tools is False
        return route.transport != "scripted" and (self.text_calls or unable or route.model in self.without_tools)

    def trimming(self, route: Route) -> Trimming:
        """Return the parts to leave out of the model's requests."""
        learned = self.trimmings.get(route.model, Trimming())
        return replace(learned, images=True) if self.abilities(route).images is False else learned

    def longest_output(self, route: Route) -> int | None:
        """Return the maximum of output tokens."""
        return entry_of(route.model).longest_output if route.is_hosted else None

    def price_named(self, route: Route) -> Price | None:
        """Return the price that the settings name for a model, or for the base URL of its endpoint."""
        places = (route.model, *([_comparable(route.base_url)] if route.base_url else []))
        return next((self.prices[place] for place in places if place in self.prices), None)

    async def price(self, route: Route, served_by: str | None = None) -> Price | None:
        """Return the price of a route's model at the provider that served it. None when unknown."""
        if route.provider in ("hub", "endpoint"):
            await self.catalogues.offers(route)
        return self.known_price(route, served_by)

    def known_price(self, route: Route, served_by: str | None = None) -> Price | None:
        """Return the price as far as it is known now, without waiting for the endpoint."""
        if (named := self.price_named(route)) is not None:
            return named
        if route.free or (route.provider == "endpoint" and self.catalogues.server(route)):
            return FREE
        if route.provider == "hub":
            offer = self.catalogues.known(route)
            return offer.price(served_by) if offer else None
        return entry_of(route.model).price if route.is_hosted else None

    async def offers(self, route: Route) -> Mapping[str, CatalogEntry]:
        """Return the catalogue of a route's endpoint after a short wait. Empty when there is none."""
        return await self.catalogues.offers(route) if route.transport == "direct" else {}

    def is_listed(self, route: Route) -> bool:
        """Return False if the endpoint's catalogue or the price table is known and does not contain the model."""
        if route.transport == "direct":
            offers = self.catalogues.arrived(route)
            return not offers or offer_of(offers, route) is not None or f"{route.name}:latest" in offers
        # A cloud's or a server's own names are not in the table.
        provider = MODEL_PROVIDERS.get(route.provider)
        return not (provider and provider.catalogue_url and names_of(route.provider)) or bool(
            entry_of(route.model).values
        )

    def unlisted(self, route: Route) -> str:
        """Describe a model that is not listed, with similar names."""
        at_endpoint = route.transport == "direct"
        near = nearest_models(route, [*filter(None, self.catalogues.arrived(route))] if at_endpoint else None)
        similar = f"; similar names: {', '.join(near)}" if near else ""
        return f"{route.where if at_endpoint else 'the price table'} does not list {route.model}{similar}"

    async def with_nearest(self, route: Route, error: ModelUnknown) -> ModelUnknown:
        """Add the successor of a retired model to the error, else the most similar names of the endpoint or table."""
        retired = retirement_of(route.model, date.today()) if route.is_hosted else None
        if retired:
            return ModelUnknown(f"{error.message}: it was retired on {retired.day}", retired.remedy)
        known = [*filter(None, await self.offers(route))] if route.transport == "direct" else None
        near = nearest_models(route, known)
        return (
            ModelUnknown(error.message, f"did you mean {', '.join(near)}? Otherwise {error.remedy}") if near else error
        )
