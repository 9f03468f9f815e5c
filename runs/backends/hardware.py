"""The hardware available to Hub jobs, with prices. The Hub's list is cached for ten minutes."""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rapidfuzz import process as fuzzy

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError
from ml_intern.net.hub import call_hub
from ml_intern.text.formatting import money

if TYPE_CHECKING:
    from huggingface_hub import HfApi

CACHE_SECONDS = 600.0
MINUTES = {"second": 1 / 60, "minute": 1.0, "hour": 60.0, "day": 1440.0}
"""Price units in minutes."""
DEFAULT = "cpu-basic"
_cache: dict[str, "tuple[float, dict[str, Hardware]]"] = {}


@dataclass(frozen=True)
class Hardware:
    """A hardware flavor."""

    name: str
    cpu: str
    memory: str
    """As given by the Hub: "16 GB"."""
    gpu: str = ""
    """Number and model of the accelerators: "1 x T4"; empty without one."""
    gpu_memory: str = ""
    """The total memory of all accelerators, as given by the Hub."""
    usd_per_minute: float | None = None
    """None when the Hub uses an unknown price unit."""

    def max_price(self, limit_s: float) -> float | None:
        """Return the cost in US dollars of a job that reaches its time limit; None when the price is unknown."""
        return None if self.usd_per_minute is None else self.usd_per_minute * limit_s / 60

    @property
    def line(self) -> str:
        """Name, parts and price in one line."""
        parts = ", ".join(filter(None, (self.cpu, self.memory, f"{self.gpu} ({self.gpu_memory})" if self.gpu else "")))
        price = "price unknown" if self.usd_per_minute is None else f"{money(self.usd_per_minute * 60)} per hour"
        return f"{self.name}: {parts}; {price}"


async def all_hardware() -> dict[str, Hardware]:
    """Return all hardware by name, the cheapest first.

    Raises:
        ToolError: the Hub request failed.
    """
    since, found = _cache.get(hub_url(), (0.0, {}))
    if not found or time.monotonic() - since > CACHE_SECONDS:
        found = await call_hub(_listed, "the hardware of jobs")
        _cache[hub_url()] = (time.monotonic(), found)
    return found


async def hardware_of(name: str) -> Hardware:
    """Return the hardware with this name.

    Raises:
        ToolError: the name is unknown (the message lists similar names), or the Hub request failed.
    """
    found = await all_hardware()
    if name in found:
        return found[name]
    nearest = [near for near, _, _ in fuzzy.extract(name, list(found), limit=3)]
    known = "; ".join(found[near].line for near in nearest)
    raise ToolError(f"unknown hardware {name[:100]!r}; similar: {known}. The operation hardware lists all")


def _listed(api: "HfApi") -> dict[str, Hardware]:
    rows = sorted((_hardware(one) for one in api.list_jobs_hardware()), key=_price)
    return {one.name: one for one in rows}


def _price(one: Hardware) -> float:
    return math.inf if one.usd_per_minute is None else one.usd_per_minute


def _hardware(one: Any) -> Hardware:
    minutes = MINUTES.get(str(one.unit_label).removesuffix("s"))
    card = one.accelerator
    return Hardware(
        one.name,
        one.cpu,
        one.ram,
        f"{card.quantity} x {card.model}" if card else "",
        card.vram if card else "",
        one.unit_cost_usd / minutes if minutes else None,
    )
