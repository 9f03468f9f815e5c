"""The capabilities of a model beside text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Abilities:
    """Capabilities; None is unknown: the feature is tried, and no longer used once the provider rejects it."""

    tools: bool | None = None
    """Whether it calls tools."""
    images: bool | None = None
    """Whether it accepts images."""
    effort: bool | None = None
    """Whether it accepts a reasoning effort."""


UNKNOWN = Abilities()


def flag(entry: Mapping[str, Any], name: str) -> bool | None:
    """Return a capability that a catalogue or a server declares; None when it declares none."""
    value = entry.get(name)
    return value if isinstance(value, bool) else None
