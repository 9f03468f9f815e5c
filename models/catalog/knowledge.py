"""What is known of models: windows, prices, abilities; from faults, from an endpoint's catalogue, from the table."""

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
    """Nothing here waits for the network but what is asynchronous."""

    catalogues: Catalogues
    windows: dict[str, int] = field(default_factory=dict[str, int])
    """As an overflow named them, by model id."""
    trimmings: dict[str, Trimming] = field(default_factory=dict[str, Trimming])
    """What a model's requests go without, since its provider rejected it."""
    without_tools: set[str] = field(default_factory=set[str])
    """Models whose requests are rejected with tools and answered without."""

    def window(self, route: Route) -> int | None:
        """The context window in tokens: as an overflow named it, else as a catalogue or the table says."""
        learned = self.windows.get(route.model)
        if learned is None and (offer := self.catalogues.known(route)):
            learned = offer.window
        return learned or (entry_of(route.model).window if route.transport == "litellm" else None)

    def abilities(self, route: Route) -> Abilities:
        """What the model can do, as far as it is known now."""
        told = entry_of(route.model).abilities if route.transport == "litellm" else UNKNOWN
        if route.transport == "direct" and (offer := self.catalogues.known(route)):
            told = offer.abilities
        if self.trimmings.get(route.model, Trimming()).images:
            told = replace(told, images=False)
        return replace(told, tools=False) if route.model in self.without_tools else told

    def trimming(self, route: Route) -> Trimming:
        """What the model's requests go without."""
        learned = self.trimmings.get(route.model, Trimming())
        return replace(learned, images=True) if self.abilities(route).images is False else learned

    def longest_output(self, route: Route) -> int | None:
        """The tokens a reply can have."""
        return entry_of(route.model).longest_output if route.transport == "litellm" else None

    async def price(self, route: Route, served_by: str | None = None) -> Price | None:
        """The price of a route's model, from whoever served it; None when it is not known."""
        if route.provider == "hub":
            offer = offer_of(await self.catalogues.offers(route), route)
            return offer.price(served_by) if offer else None
        return entry_of(route.model).price if route.transport == "litellm" else None

    async def offers(self, route: Route) -> Mapping[str, CatalogEntry]:
        """The catalogue of a route's endpoint, waiting for it a little; empty where there is none."""
        return await self.catalogues.offers(route) if route.transport == "direct" else {}

    async def with_nearest(self, route: Route, error: ModelUnknown) -> ModelUnknown:
        """The error with the nearest names that the endpoint or the table has."""
        known = [*filter(None, await self.offers(route))] if route.transport == "direct" else None
        near = nearest_models(route, known)
        return ModelUnknown(error.message, f"nearest: {', '.join(near)}; {error.remedy}") if near else error
