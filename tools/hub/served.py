"""The models that inference providers serve, from the catalogue of the Hub's router."""

import os
from collections.abc import Mapping
from typing import Any

from models.catalogue import Offer, read_catalogue
from models.prices import Price
from models.routing import HUB_ROUTER
from tools.hub.figures import count
from tools.net.service import open_service

_PER_MILLION = 1_000_000


async def served_models(query: str, author: str, limit: int) -> list[str]:
    """A line for each: name, window, providers with their price for a million tokens. Raises ToolFault."""
    async with open_service("the Hub's router", os.environ.get("ML_INTERN_ROUTER_URL") or HUB_ROUTER) as router:
        answer = await router.get_json("/models")
    offers = read_catalogue(answer)
    wanted = query.lower().split()
    found = [
        offer
        for name, offer in offers.items()
        if all(word in name.lower() for word in wanted)
        and (not author or name.lower().startswith(f"{author.lower()}/"))
    ]
    return [_line(offer, _live(answer, offer.id)) for offer in found[:limit]]


def _line(offer: Offer, providers: list[str]) -> str:
    window = [f"window {count(offer.window)} tokens"] if offer.window else []
    served = [f"{name}{_price(offer.prices.get(name))}" for name in providers]
    return f"{offer.id} · {' · '.join([*window, *served]) or 'no live provider'}"


def _price(price: Price | None) -> str:
    if price is None:
        return ""
    rates = price.tiers[-1]
    return f" ({rates.input * _PER_MILLION:.3g} in, {rates.output * _PER_MILLION:.3g} out)"


def _live(answer: Any, id: str) -> list[str]:
    entry: Mapping[str, Any] = next((one for one in answer["data"] if one.get("id") == id), {})
    listed = [one for one in entry.get("providers") or [] if isinstance(one, Mapping)]
    return [str(one.get("provider")) for one in listed if one.get("status", "live") == "live"]
