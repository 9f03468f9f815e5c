"""Prices and windows from the table in litellm, read from its JSON file without importing litellm."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ml_intern.models.catalog.abilities import UNKNOWN, Abilities, flag
from ml_intern.models.request import Usage

TABLE_FILE = "model_prices_and_context_window_backup.json"
MILLION = 1_000_000
MAX_OUTPUT = 32_000
"""Output tokens requested for one reply at most."""
_TIER = re.compile(r"input_cost_per_token_above_(\d+)k_tokens")


@dataclass(frozen=True)
class Rates:
    """US dollars per token."""

    input: float
    output: float
    cache_read: float | None = None
    """None: the rate of input."""
    cache_write: float | None = None
    above: int = 0
    """Input tokens above which these rates apply."""

    def __str__(self) -> str:
        return f"${self.input * MILLION:g} in, ${self.output * MILLION:g} out"


@dataclass(frozen=True)
class Price:
    """The rates of a model, those for the longest input first."""

    tiers: tuple[Rates, ...]

    def cost(self, usage: Usage) -> float:
        """Return the cost of one call in US dollars."""
        rates = next(tier for tier in self.tiers if usage.input_tokens > tier.above or tier.above == 0)
        fresh = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
        cached = usage.cached_tokens * (rates.input if rates.cache_read is None else rates.cache_read)
        written = usage.cache_write_tokens * (rates.input if rates.cache_write is None else rates.cache_write)
        return fresh * rates.input + cached + written + usage.output_tokens * rates.output


FREE = Price((Rates(0.0, 0.0),))


def price_set(value: float | Mapping[str, float | None]) -> Price:
    """Return the price that a setting names per million tokens: one number for all, or one for each kind."""
    named = {"input": value, "output": value} if isinstance(value, int | float) else value
    rates = {name: rate / MILLION for name, rate in named.items() if rate is not None}
    return Price((Rates(rates["input"], rates["output"], rates.get("cached"), rates.get("cache_write")),))


def table() -> dict[str, dict[str, Any]]:
    """Read the table by model name. Empty without litellm. It is not cached: it takes 7 MB, and litellm has its own."""
    found = find_spec("litellm")
    path = Path(found.origin).parent / TABLE_FILE if found and found.origin else None
    if path is None or not path.is_file():
        return {}
    entries: dict[str, dict[str, Any]] = json.loads(path.read_bytes())
    return entries


@dataclass(frozen=True)
class Entry:
    """The table's entry of one model; empty when the model is not in it."""

    values: Mapping[str, Any]

    @property
    def price(self) -> Price | None:
        """The rates of the model."""
        base = _rates(self.values, "", 0)
        if base is None:
            return None
        limits = sorted((int(found[1]) for key in self.values if (found := _TIER.fullmatch(key))), reverse=True)
        tiers = [_rates(self.values, f"_above_{limit}k_tokens", limit * 1000) for limit in limits]
        return Price((*filter(None, tiers), base))

    @property
    def window(self) -> int | None:
        """The maximum of input tokens."""
        window = self.values.get("max_input_tokens") or self.values.get("max_tokens")
        return window if isinstance(window, int) else None

    @property
    def longest_output(self) -> int | None:
        """The maximum of output tokens."""
        limit = self.values.get("max_output_tokens")
        return limit if isinstance(limit, int) else None

    @property
    def efforts(self) -> frozenset[str]:
        """The abilities that the table names, such as "adaptive_thinking" and "max_reasoning_effort"."""
        return frozenset(key.removeprefix("supports_") for key, value in self.values.items() if value is True)

    @property
    def retired_on(self) -> date | None:
        """The day from which the provider no longer serves the model, if one is announced."""
        try:
            return date.fromisoformat(str(self.values.get("deprecation_date")))
        except ValueError:
            return None

    @property
    def abilities(self) -> Abilities:
        """The capabilities. What the table omits is unknown, except for the effort."""
        if not self.values:
            return UNKNOWN
        modalities = self.values.get("supported_modalities")
        images = "image" in modalities if isinstance(modalities, list) else flag(self.values, "supports_vision")
        effort = flag(self.values, "supports_reasoning") is True
        return Abilities(flag(self.values, "supports_function_calling"), images, effort)


def price_of(model: str) -> Price | None:
    """Return the price of `provider/model`. None when it is not in the table."""
    return entry_of(model).price


def rates_of(model: str) -> str:
    """Return the price of `provider/model` in words: "$2 in, $10 out per million tokens"."""
    price = price_of(model)
    return f"{price.tiers[-1]} per million tokens" if price else "price unknown"


def window_of(model: str) -> int | None:
    """Return the maximum of input tokens of `provider/model`. None when it is not in the table."""
    return entry_of(model).window


def requested_output(model: str) -> int:
    """Return the limit of output tokens, thinking included, for a request to `provider/model` that must have one."""
    return min(entry_of(model).longest_output or MAX_OUTPUT, MAX_OUTPUT)


def providers_of(name: str) -> list[str]:
    """Return the providers of a model by its bare name, its maker first."""
    entries = table()
    own = [entries[name]["litellm_provider"]] if name in entries else []
    return [*own, *(key.split("/")[0] for key in entries if key.endswith(f"/{name}") and key.count("/") == 1)]


def entries_of(provider: str) -> dict[str, Entry]:
    """Return the chat models of a provider by `provider/model`."""
    chat = {
        key: entry
        for key, entry in table().items()
        if entry.get("mode") in ("chat", "responses") and _is_of(entry, provider)
    }
    return {key if key.startswith(f"{provider}/") else f"{provider}/{key}": Entry(entry) for key, entry in chat.items()}


def names_of(provider: str) -> list[str]:
    """Return the names of a provider's chat models, as `provider/model`."""
    return [*entries_of(provider)]


@lru_cache(maxsize=64)
def entry_of(model: str) -> Entry:
    """Return the table's entry of `provider/model`."""
    provider, _, name = model.partition("/")
    entries = table()
    if model in entries:
        return Entry(entries[model])
    entry = entries.get(name, {})
    return Entry(entry if _is_of(entry, provider) else {})


def _is_of(entry: Mapping[str, Any], provider: str) -> bool:
    return str(entry.get("litellm_provider", "")).startswith(provider)


def _rates(entry: Mapping[str, Any], suffix: str, above: int) -> Rates | None:
    names = (
        "input_cost_per_token",
        "output_cost_per_token",
        "cache_read_input_token_cost",
        "cache_creation_input_token_cost",
    )
    read, written, cache_read, cache_write = (_number(entry.get(f"{name}{suffix}")) for name in names)
    return None if read is None or written is None else Rates(read, written, cache_read, cache_write, above)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
