"""The machines that jobs of the Hub run on, with their prices: the Hub's own list, kept for some minutes."""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rapidfuzz import process as fuzzy

from ml_intern.configs.hosts import hub_url
from ml_intern.execution.call import ToolError
from ml_intern.net.hub import call_hub

if TYPE_CHECKING:
    from huggingface_hub import HfApi

KEPT_SECONDS = 600.0
MINUTES = {"second": 1 / 60, "minute": 1.0, "hour": 60.0, "day": 1440.0}
"""What a unit of a price is in minutes."""
DEFAULT = "cpu-basic"
_kept: dict[str, "tuple[float, dict[str, Hardware]]"] = {}


@dataclass(frozen=True)
class Hardware:
    """A machine that can be asked for by name."""

    name: str
    cpu: str
    memory: str
    """As the Hub writes it: "16 GB"."""
    gpu: str = ""
    """The accelerator and how many of it: "1 x T4"; empty for a machine without one."""
    gpu_memory: str = ""
    """Of all accelerators together, as the Hub writes it."""
    usd_per_minute: float | None = None
    """None when the Hub names a unit that is not known here."""

    def worst_price(self, limit_s: float) -> float | None:
        """What a job costs in US dollars when it runs to its time limit; None when the price is not known."""
        return None if self.usd_per_minute is None else self.usd_per_minute * limit_s / 60

    @property
    def line(self) -> str:
        """Name, parts and price in one line."""
        parts = ", ".join(filter(None, (self.cpu, self.memory, f"{self.gpu} ({self.gpu_memory})" if self.gpu else "")))
        price = "price not known" if self.usd_per_minute is None else f"{self.usd_per_minute * 60:.2f} USD an hour"
        return f"{self.name}: {parts}; {price}"


async def all_hardware() -> dict[str, Hardware]:
    """Every machine by its name, the cheapest first.

    Raises:
        ToolError: the Hub does not tell.
    """
    since, found = _kept.get(hub_url(), (0.0, {}))
    if not found or time.monotonic() - since > KEPT_SECONDS:
        found = await call_hub(_listed, "the hardware of jobs")
        _kept[hub_url()] = (time.monotonic(), found)
    return found


async def hardware_of(name: str) -> Hardware:
    """The machine of that name.

    Raises:
        ToolError: there is none; the nearest are named. Or the Hub does not tell.
    """
    found = await all_hardware()
    if name in found:
        return found[name]
    nearest = [near for near, _, _ in fuzzy.extract(name, list(found), limit=3)]
    known = "; ".join(found[near].line for near in nearest)
    raise ToolError(f"there is no hardware {name[:100]!r}; the nearest are: {known}. operation hardware lists all")


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
