"""Known facts about models (window, price, capabilities), from errors, the endpoint's catalogue and the price table."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ml_intern.configs.errors import ModelUnknown
from ml_intern.models.catalog.abilities import UNKNOWN, Abilities
from ml_intern.models.catalog.endpoint import CatalogEntry, Catalogues, offer_of
from ml_intern.models.catalog.prices import Price, entry_of
from ml_intern.models.routing import Route, nearest_models
from ml_intern.models.transports.base import Trimming


@dataclass
class Knowledge:
    """Facts about models. Only the asynchronous methods wait for the network."""

    catalogues: Catalogues
    windows: dict[str, int] = field(default_factory=dict[str, int])
    """Windows that an overflow named, by model id."""
    trimmings: dict[str, Trimming] = field(default_factory=dict[str, Trimming])
    """Parts left out of a model's requests because its provider rejected them."""
    without_tools: set[str] = field(default_factory=set[str])
    """Models that reject requests with tools and accept them without."""

    def window(self, route: Route) -> int | None:
        """Return the context window in tokens, from an overflow, a catalogue or the table."""
        learned = self.windows.get(route.model)
        if learned is None and (offer := self.catalogues.known(route)):
            learned = offer.window
        return learned or (entry_of(route.model).window if route.transport == "litellm" else None)

    def abilities(self, route: Route) -> Abilities:
        """Return the capabilities that are known now."""
        known = entry_of(route.model).abilities if route.transport == "litellm" else UNKNOWN
        if route.transport == "direct" and (offer := self.catalogues.known(route)):
            known = offer.abilities
        if self.trimmings.get(route.model, Trimming()).images:
            known = replace(known, images=False)
        return replace(known, tools=False) if route.model in self.without_tools else known

    def trimming(self, route: Route) -> Trimming:
        """Return the parts to leave out of the model's requests."""
        learned = self.trimmings.get(route.model, Trimming())
        return replace(learned, images=True) if self.abilities(route).images is False else learned

    def longest_output(self, route: Route) -> int | None:
        """Return the maximum of output tokens."""
        return entry_of(route.model).longest_output if route.transport == "litellm" else None

    async def price(self, route: Route, served_by: str | None = None) -> Price | None:
        """Return the price of a route's model at the provider that served it. None when unknown."""
        if route.provider == "hub":
            offer = offer_of(await self.catalogues.offers(route), route)
            return offer.price(served_by) if offer else None
        return entry_of(route.model).price if route.transport == "litellm" else None

    async def offers(self, route: Route) -> Mapping[str, CatalogEntry]:
        """Return the catalogue of a route's endpoint after a short wait. Empty when there is none."""
        return await self.catalogues.offers(route) if route.transport == "direct" else {}

    async def with_nearest(self, route: Route, error: ModelUnknown) -> ModelUnknown:
        """Add the most similar names of the endpoint or the table to the error."""
        known = [*filter(None, await self.offers(route))] if route.transport == "direct" else None
        near = nearest_models(route, known)
        return (
            ModelUnknown(error.message, f"did you mean {', '.join(near)}? Otherwise {error.remedy}") if near else error
        )
