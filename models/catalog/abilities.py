"""The capabilities of a model beside text."""

from dataclasses import dataclass


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
