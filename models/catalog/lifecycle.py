"""Retired models: which the price table lists as no longer served, and the recommended model that replaces each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from ml_intern.configs.providers import MODEL_PROVIDERS
from ml_intern.models.catalog.prices import Entry, entry_of


@dataclass(frozen=True)
class Retirement:
    """A model that its provider no longer serves."""

    model: str
    day: date
    successor: str
    """The recommended model nearest in price; "" when the provider has none."""

    @property
    def remedy(self) -> str:
        """The recommended replacement."""
        return f"use {self.successor} with -m" if self.successor else "choose another model with -m"

    def __str__(self) -> str:
        return f"{self.model} was retired on {self.day}, according to the price table ({self.remedy})"


def retirement_of(model: str, today: date) -> Retirement | None:
    """Return the retirement of `provider/model`, or None while it is served."""
    if model.partition("/")[0] not in MODEL_PROVIDERS:
        return None
    entry = entry_of(model)
    if entry.retired_on is None or entry.retired_on > today:
        return None
    return Retirement(model, entry.retired_on, _successor(model, entry, today))


def retirements(models: Iterable[str | None], today: date) -> Iterator[Retirement]:
    """Iterate over the retired ones of some models, each once. None stands for no model."""
    for model in dict.fromkeys(models):
        if model and (found := retirement_of(model, today)):
            yield found


def recommended(prefix: str) -> tuple[str, ...]:
    """Return the recommended models of a provider: its strong one, then its cheap one."""
    provider = MODEL_PROVIDERS.get(prefix)
    found = (provider.strong_model, provider.cheap_model) if provider else ()
    return tuple(dict.fromkeys(filter(None, found)))


def _successor(model: str, entry: Entry, today: date) -> str:
    """Return the recommended model of the same provider that is served and nearest in price."""
    served = [(one, entry_of(one)) for one in recommended(model.partition("/")[0])]
    served = [(one, known) for one, known in served if known.retired_on is None or known.retired_on > today]
    price = _output_rate(entry)
    return min(served, key=lambda pair: abs(_output_rate(pair[1]) - price), default=("", entry))[0]


def _output_rate(entry: Entry) -> float:
    return entry.price.tiers[-1].output if entry.price else 0.0
